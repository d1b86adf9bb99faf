SELECT user_id AS client_id, event_time AS timestamp, product_id AS sku, price
FROM events WHERE event_type = 'purchase'
