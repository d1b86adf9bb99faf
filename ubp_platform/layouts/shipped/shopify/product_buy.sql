-- What belongs to the order stands in its first row only. Of exports that overlap an order counts
-- once. A cancelled order stays: when it was made nobody knew that it would be cancelled.
WITH line AS (
    SELECT DISTINCT Name, Email, "Created at", "Lineitem sku", "Lineitem price", "Lineitem quantity"
    FROM orders)
SELECT max(Email) OVER (PARTITION BY Name) AS client_id,
       coalesce("Created at", max("Created at") OVER (PARTITION BY Name)) AS timestamp,
       "Lineitem sku" AS sku, "Lineitem price" AS price, "Lineitem quantity" AS quantity
FROM line
