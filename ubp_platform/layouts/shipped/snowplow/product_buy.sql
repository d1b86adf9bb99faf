SELECT client_id, timestamp, known_from, product->>'id' AS sku, product->>'price' AS price,
       product->>'quantity' AS quantity
FROM (SELECT *, unnest(products) AS product FROM event
      WHERE client_id IS NOT NULL AND event_name = 'snowplow_ecommerce_action'
            AND action = 'transaction')
