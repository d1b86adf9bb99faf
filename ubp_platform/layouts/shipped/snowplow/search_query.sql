-- The terms are a list of words.
SELECT client_id, timestamp, known_from,
       list_aggregate((search->'terms')::VARCHAR[], 'string_agg', ' ') AS query
FROM event WHERE client_id IS NOT NULL AND event_name = 'site_search'
