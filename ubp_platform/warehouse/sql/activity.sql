-- How often each relevant client did what, and how many days ago for the last time.
SELECT
    client_id,
    event_type,
    count(*) AS events,
    min(day) AS days
FROM relevant_event
GROUP BY client_id, event_type
ORDER BY client_id, event_type
