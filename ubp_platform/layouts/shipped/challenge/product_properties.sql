SELECT * FROM product_properties
