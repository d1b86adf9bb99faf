SELECT client_id, timestamp, url, _file, _row FROM page_visit
