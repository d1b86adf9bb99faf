SELECT client_id, timestamp, known_from,
       list_filter(event_params, lambda one: one.key = 'page_location')[1].value.string_value AS url
FROM event WHERE client_id IS NOT NULL AND event_name = 'page_view'
