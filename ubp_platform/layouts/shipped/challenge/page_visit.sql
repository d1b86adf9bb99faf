SELECT * FROM page_visit
