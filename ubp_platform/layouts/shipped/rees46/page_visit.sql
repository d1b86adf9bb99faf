-- There is no URL: the product id identifies the page.
SELECT user_id AS client_id, event_time AS timestamp, product_id AS url
FROM events WHERE event_type = 'view'
