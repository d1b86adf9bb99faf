SELECT * FROM search_query
