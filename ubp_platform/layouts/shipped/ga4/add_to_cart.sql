SELECT client_id, timestamp, known_from, item.item_id AS sku, item.price AS price,
       item.quantity AS quantity
FROM event, unnest(event.items) AS one(item)
WHERE client_id IS NOT NULL AND event_name = 'add_to_cart'
