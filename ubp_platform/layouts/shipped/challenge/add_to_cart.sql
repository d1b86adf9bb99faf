SELECT * FROM add_to_cart
