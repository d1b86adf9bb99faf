SELECT client_id, timestamp, sku, _file, _row FROM add_to_cart
