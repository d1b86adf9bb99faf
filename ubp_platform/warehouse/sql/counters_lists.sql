-- The shop's most frequent values, for which the block `counters` has columns. Computed once, when the
-- block is fitted, so that a column means the same at every later cutoff.
-- `value` has the `rank` among its list, 1 being the most frequent; for `tier` it is the highest price
-- of the tier of that rank, 1 being the cheapest. counters.sql refers to lists by number.
WITH
touched AS (
    SELECT event.category, event.price, properties.name[1] AS cluster
    FROM event LEFT JOIN product_properties AS properties USING (sku)
    WHERE event_type IN (0, 1)  -- bought or added
),

met AS (
    SELECT 'category' AS list, category::BIGINT AS value FROM touched
    UNION ALL
    SELECT 'cluster', cluster::BIGINT FROM touched
    UNION ALL
    SELECT 'page', url FROM page_visit
    UNION ALL
    SELECT 'query', query[1]::BIGINT FROM search_query
),

ranked AS (
    SELECT
        list,
        value,
        row_number() OVER (PARTITION BY list ORDER BY count(*) DESC, value) AS rank
    FROM met
    WHERE value IS NOT NULL
    GROUP BY list, value
    QUALIFY rank <= CASE list WHEN 'page' THEN 12 WHEN 'query' THEN 8 ELSE 16 END
),

edge AS (
    SELECT quantile_disc(price, [0.125, 0.25, 0.375, 0.5, 0.625, 0.75, 0.875]) AS edges
    FROM touched
),

tier AS (
    SELECT
        'tier' AS list,
        unnest(edges)::BIGINT AS value,
        generate_subscripts(edges, 1)::BIGINT AS rank
    FROM edge
    WHERE edges IS NOT NULL
)

SELECT
    list_position(['category', 'cluster', 'page', 'query', 'tier'], list)::BIGINT AS list,
    value,
    rank
FROM (FROM ranked UNION ALL FROM tier)
ORDER BY ALL
