-- There is no URL: the product stands for its page.
SELECT visitorid AS client_id, from_milliseconds(timestamp) AS timestamp, itemid AS url
FROM events WHERE event = 'view'
