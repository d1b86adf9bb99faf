WITH event AS (
    -- An event that was collected twice has the same event_id.
    SELECT * FROM events
    QUALIFY row_number() OVER (PARTITION BY event_id ORDER BY collector_tstamp) = 1)
-- The terms are a list of words.
SELECT user_id AS client_id, derived_tstamp AS timestamp,
       list_aggregate((unstruct_event_com_snowplowanalytics_snowplow_site_search_1_0_0::JSON->'terms')::VARCHAR[], 'string_agg', ' ') AS query
FROM event WHERE event_name = 'site_search'
