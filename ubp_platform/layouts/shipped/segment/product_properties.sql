-- What a call shows of a product holds from then on.
WITH shown AS (
    SELECT timestamp, properties AS product FROM calls WHERE (properties->>'sku') IS NOT NULL
    UNION ALL
    SELECT timestamp, unnest((properties->'products')::JSON[]) FROM calls
    WHERE (properties->'products') IS NOT NULL),
seen AS (
    SELECT product->>'sku' AS sku, product->>'category' AS category, product->>'price' AS price,
           product->>'name' AS name, TRY_CAST(timestamp AS TIMESTAMPTZ) AS valid_from
    FROM shown)
FROM product_changes('seen')
