SELECT sku, category, price, name, _file, _row FROM product_properties
