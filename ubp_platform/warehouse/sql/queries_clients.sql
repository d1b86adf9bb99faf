-- The relevant clients with a search query.
SELECT DISTINCT client_id FROM relevant_search_query ORDER BY client_id
