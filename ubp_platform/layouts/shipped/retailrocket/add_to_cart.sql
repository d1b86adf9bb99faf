SELECT visitorid AS client_id, from_milliseconds(timestamp) AS timestamp, itemid AS sku
FROM events WHERE event = 'addtocart'
