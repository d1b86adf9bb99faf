SELECT client_id, timestamp, known_from, page_url AS url
FROM event WHERE client_id IS NOT NULL AND event_name = 'page_view'
