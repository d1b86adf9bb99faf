WITH call AS (
    -- A call that was sent again has the same messageId.
    SELECT * FROM calls QUALIFY row_number() OVER (PARTITION BY messageId ORDER BY receivedAt) = 1)
SELECT userId AS client_id, timestamp, product->>'sku' AS sku, product->>'price' AS price,
       product->>'quantity' AS quantity
FROM (SELECT *, unnest((properties->'products')::JSON[]) AS product FROM call
      WHERE type = 'track' AND event = 'Order Completed')
