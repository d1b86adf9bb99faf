-- The values of the newest call.
WITH seen AS (
    SELECT timestamp, properties AS product FROM calls WHERE (properties->>'sku') IS NOT NULL
    UNION ALL
    SELECT timestamp, unnest((properties->'products')::JSON[]) FROM calls
    WHERE (properties->'products') IS NOT NULL)
SELECT product->>'sku' AS sku, arg_max(product->>'category', timestamp) AS category,
       arg_max(product->>'price', timestamp) AS price, arg_max(product->>'name', timestamp) AS name
FROM seen GROUP BY ALL
