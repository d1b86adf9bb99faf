SELECT client_id, timestamp, sku, _file, _row FROM product_buy
