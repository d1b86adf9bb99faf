SELECT user_id AS client_id, from_microseconds(event_timestamp) AS timestamp,
       item.item_id AS sku, item.price AS price, item.quantity AS quantity
FROM (SELECT DISTINCT * EXCLUDE (_file, _row) FROM events) AS event, unnest(event.items) AS one(item)
WHERE event_name = 'add_to_cart'
