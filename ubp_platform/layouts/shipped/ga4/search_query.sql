SELECT user_id AS client_id, from_microseconds(event_timestamp) AS timestamp,
       list_filter(event_params, lambda one: one.key = 'search_term')[1].value.string_value AS query
FROM (SELECT DISTINCT * EXCLUDE (_file, _row) FROM events) WHERE event_name = 'view_search_results'
