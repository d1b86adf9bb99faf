-- The values of the newest event.
WITH seen AS (
    SELECT derived_tstamp AS seen_at,
           unnest(contexts_com_snowplowanalytics_snowplow_ecommerce_product_1_0_0::JSON::JSON[]) AS product
    FROM events)
SELECT product->>'id' AS sku, arg_max(product->>'category', seen_at) AS category,
       arg_max(product->>'price', seen_at) AS price, arg_max(product->>'name', seen_at) AS name
FROM seen GROUP BY ALL
