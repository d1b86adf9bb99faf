WITH line AS (
    SELECT *, coalesce("Created at", max("Created at") OVER (PARTITION BY Name)) AS ordered
    FROM orders)
SELECT "Lineitem sku" AS sku, arg_max("Lineitem price", ordered) AS price,
       arg_max("Lineitem name", ordered) AS name
FROM line WHERE "Lineitem sku" IS NOT NULL GROUP BY "Lineitem sku"
