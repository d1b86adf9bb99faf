WITH call AS (
    -- A call that was sent again has the same messageId.
    SELECT * FROM calls QUALIFY row_number() OVER (PARTITION BY messageId ORDER BY receivedAt) = 1)
SELECT userId AS client_id, timestamp, properties->>'query' AS query
FROM call WHERE type = 'track' AND event = 'Products Searched'
