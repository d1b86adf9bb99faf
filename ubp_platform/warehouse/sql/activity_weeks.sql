-- The events of the relevant clients by type, in weeks that are counted back from the cutoff.
SELECT event_type, day // 7 AS week, count(*) AS events
FROM relevant_event
GROUP BY event_type, week
ORDER BY event_type, week
