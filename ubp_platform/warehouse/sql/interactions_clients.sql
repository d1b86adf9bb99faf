-- The relevant clients with an event of any type.
SELECT DISTINCT client_id FROM relevant_event ORDER BY client_id
