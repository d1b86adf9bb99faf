-- What an order shows of a product holds from then on.
WITH line AS (
    SELECT *, coalesce("Created at", max("Created at") OVER (PARTITION BY Name)) AS ordered
    FROM orders),
seen AS (
    SELECT "Lineitem sku" AS sku, NULL AS category, "Lineitem price" AS price,
           "Lineitem name" AS name, ordered AS valid_from
    FROM line)
SELECT * EXCLUDE category FROM product_changes('seen')
