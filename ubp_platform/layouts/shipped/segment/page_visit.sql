-- 'Product Viewed' accompanies the page call of its page and is not a second visit.
SELECT client_id, timestamp, known_from, properties->>'url' AS url
FROM call WHERE client_id IS NOT NULL AND type = 'page'
