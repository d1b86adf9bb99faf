SELECT * FROM product_buy
