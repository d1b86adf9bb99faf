-- What an event shows of a product holds from then on.
WITH shown AS (
    SELECT derived_tstamp,
           unnest(contexts_com_snowplowanalytics_snowplow_ecommerce_product_1_0_0::JSON::JSON[]) AS product
    FROM events),
seen AS (
    SELECT product->>'id' AS sku, product->>'category' AS category, product->>'price' AS price,
           product->>'name' AS name, derived_tstamp AS valid_from
    FROM shown)
FROM product_changes('seen')
