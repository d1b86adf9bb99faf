SELECT client_id, timestamp, sku, _file, _row FROM remove_from_cart
