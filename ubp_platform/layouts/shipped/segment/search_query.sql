SELECT client_id, timestamp, known_from, properties->>'query' AS query
FROM call WHERE client_id IS NOT NULL AND type = 'track' AND event = 'Products Searched'
