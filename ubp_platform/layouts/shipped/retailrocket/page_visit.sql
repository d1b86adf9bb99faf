-- There is no URL: the product id identifies the page.
SELECT visitorid AS client_id, from_milliseconds(timestamp) AS timestamp, itemid AS url
FROM events WHERE event = 'view'
