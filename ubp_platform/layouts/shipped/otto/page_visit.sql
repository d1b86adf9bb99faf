-- There is no URL: the product id identifies the page.
SELECT session AS client_id, from_milliseconds(event.ts) AS timestamp, event.aid AS url
FROM (SELECT session, unnest(events) AS event FROM sessions) WHERE event.type = 'clicks'
