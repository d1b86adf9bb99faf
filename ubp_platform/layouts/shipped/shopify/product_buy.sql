-- Columns of the order are filled in its first row only. An order in overlapping exports counts once. A
-- cancelled order stays, because the cancellation was not known when it was placed.
WITH line AS (
    SELECT DISTINCT Name, Email, "Created at", "Lineitem sku", "Lineitem price", "Lineitem quantity"
    FROM orders)
SELECT max(Email) OVER (PARTITION BY Name) AS client_id,
       coalesce("Created at", max("Created at") OVER (PARTITION BY Name)) AS timestamp,
       "Lineitem sku" AS sku, "Lineitem price" AS price, "Lineitem quantity" AS quantity
FROM line
