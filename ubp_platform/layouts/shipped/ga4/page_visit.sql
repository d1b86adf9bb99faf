-- view_item stands beside the page_view of its page, and is no second visit.
SELECT user_id AS client_id, from_microseconds(event_timestamp) AS timestamp,
       list_filter(event_params, lambda one: one.key = 'page_location')[1].value.string_value AS url
FROM (SELECT DISTINCT * EXCLUDE (_file, _row) FROM events) WHERE event_name = 'page_view'
