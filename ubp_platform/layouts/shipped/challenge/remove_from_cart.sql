SELECT * FROM remove_from_cart
