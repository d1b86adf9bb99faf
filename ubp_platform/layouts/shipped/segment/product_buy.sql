SELECT client_id, timestamp, known_from, product->>'sku' AS sku, product->>'price' AS price,
       product->>'quantity' AS quantity
FROM (SELECT *, unnest((properties->'products')::JSON[]) AS product FROM call
      WHERE client_id IS NOT NULL AND type = 'track' AND event = 'Order Completed')
