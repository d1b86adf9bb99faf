SELECT client_id, timestamp, known_from,
       list_filter(event_params, lambda one: one.key = 'search_term')[1].value.string_value AS query
FROM event WHERE client_id IS NOT NULL AND event_name = 'view_search_results'
