-- There is no URL: the product id identifies the page.
SELECT user_id AS client_id, from_seconds(seconds) AS timestamp, item_id AS url
FROM behaviour WHERE behavior = 'pv'
