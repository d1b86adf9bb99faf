SELECT user_id AS client_id, from_seconds(seconds) AS timestamp, item_id AS sku
FROM behaviour WHERE behavior = 'cart'
