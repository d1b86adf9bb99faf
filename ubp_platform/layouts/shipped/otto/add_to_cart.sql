SELECT session AS client_id, from_milliseconds(event.ts) AS timestamp, event.aid AS sku
FROM (SELECT session, unnest(events) AS event FROM sessions) WHERE event.type = 'carts'
