WITH call AS (
    -- A call that was sent again has the same messageId.
    SELECT * FROM calls QUALIFY row_number() OVER (PARTITION BY messageId ORDER BY receivedAt) = 1)
-- 'Product Viewed' stands beside the page call of its page, and is no second visit.
SELECT userId AS client_id, timestamp, properties->>'url' AS url FROM call WHERE type = 'page'
