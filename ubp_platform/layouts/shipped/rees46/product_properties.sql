-- The values of the newest row.
SELECT product_id AS sku, arg_max(category_code, event_time) AS category,
       arg_max(price, event_time) AS price, arg_max(brand, event_time) AS name
FROM events WHERE product_id IS NOT NULL GROUP BY product_id
