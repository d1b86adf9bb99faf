-- How often each relevant client met the shop's $top most frequent values of each field, per event
-- type, in the last 1, 7 and 30 days before the cutoff.
WITH
met AS (
    UNPIVOT (
        SELECT client_id, event_type, day, sku, category, price::BIGINT AS price, url FROM event
    ) ON sku, category, price, url INTO NAME field VALUE value
),

top AS (
    SELECT
        event_type,
        field,
        value,
        row_number() OVER (
            PARTITION BY event_type, field ORDER BY count(*) DESC, value
        ) - 1 AS rank
    FROM met
    GROUP BY event_type, field, value
    QUALIFY rank < $top
),

recent AS (
    UNPIVOT (
        SELECT client_id, event_type, day, sku, category, price::BIGINT AS price, url
        FROM relevant_event
        WHERE day < 30
    ) ON sku, category, price, url INTO NAME field VALUE value
)

SELECT
    client_id,
    event_type,
    list_position(['sku', 'category', 'price', 'url'], field) - 1 AS field,
    rank,
    count(*) FILTER (day < 1) AS day,
    count(*) FILTER (day < 7) AS week,
    count(*) AS month
FROM recent JOIN top USING (event_type, field, value)
GROUP BY client_id, event_type, field, rank
ORDER BY client_id, event_type, field, rank
