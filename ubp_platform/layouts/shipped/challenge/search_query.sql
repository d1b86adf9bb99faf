SELECT client_id, timestamp, query, _file, _row FROM search_query
