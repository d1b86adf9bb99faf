SELECT client_id, timestamp, known_from, properties->>'sku' AS sku,
       properties->>'price' AS price, properties->>'quantity' AS quantity
FROM call WHERE client_id IS NOT NULL AND type = 'track' AND event = 'Product Added'
