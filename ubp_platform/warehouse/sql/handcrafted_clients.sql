-- How many relevant clients have an event that the handcrafted features look at.
SELECT count(*) AS clients
FROM (
    SELECT client_id FROM relevant_product_buy
    UNION
    SELECT client_id FROM relevant_add_to_cart
    UNION
    SELECT client_id FROM relevant_remove_from_cart
    UNION
    SELECT client_id FROM relevant_page_visit
)
