-- The number of events of each type per relevant client, and the days since the last one.
SELECT
    client_id,
    event_type,
    count(*) AS events,
    min(day) AS days
FROM relevant_event
GROUP BY client_id, event_type
ORDER BY client_id, event_type
