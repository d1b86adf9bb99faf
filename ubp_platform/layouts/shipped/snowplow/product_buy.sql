WITH event AS (
    -- An event that was collected twice has the same event_id.
    SELECT * FROM events
    QUALIFY row_number() OVER (PARTITION BY event_id ORDER BY collector_tstamp) = 1)
SELECT user_id AS client_id, derived_tstamp AS timestamp, product->>'id' AS sku,
       product->>'price' AS price, product->>'quantity' AS quantity
FROM (SELECT *, unnest(contexts_com_snowplowanalytics_snowplow_ecommerce_product_1_0_0::JSON::JSON[])
                AS product
      FROM event
      WHERE event_name = 'snowplow_ecommerce_action'
            AND unstruct_event_com_snowplowanalytics_snowplow_ecommerce_snowplow_ecommerce_action_1_0_0
                ::JSON->>'type' = 'transaction')
