WITH event AS (
    -- An event that was collected twice has the same event_id.
    SELECT * FROM events
    QUALIFY row_number() OVER (PARTITION BY event_id ORDER BY collector_tstamp) = 1)
SELECT user_id AS client_id, derived_tstamp AS timestamp, page_url AS url
FROM event WHERE event_name = 'page_view'
