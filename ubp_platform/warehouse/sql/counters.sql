-- Counts of each relevant client, in windows that end at the cutoff and with decaying weights: when,
-- how often, how many at a time, and of what. docs/reference/counters.md defines each feature.
-- Each column of a part is a feature: to add one, add a line to the part that it belongs to.
-- counters_lists contains the most frequent values of the shop, computed when the block was fitted.
WITH
-- Day 0 is the 24 hours that end at the cutoff, as in the view `event`; `age` is in microseconds.
happened AS NOT MATERIALIZED (
    SELECT
        client_id,
        kind,
        timestamp,
        epoch_us(cutoff) - epoch_us(timestamp) AS age,
        (age - 1) // 86400000000 AS day
    FROM (
        SELECT client_id, timestamp, 'buy' AS kind FROM relevant_product_buy
        UNION ALL
        SELECT client_id, timestamp, 'add' AS kind FROM relevant_add_to_cart
        UNION ALL
        SELECT client_id, timestamp, 'remove' AS kind FROM relevant_remove_from_cart
        UNION ALL
        SELECT client_id, timestamp, 'visit' AS kind FROM relevant_page_visit
        UNION ALL
        SELECT client_id, timestamp, 'search' AS kind FROM relevant_search_query
    ), cutoff
),

-- One row per client and kind of event; the features are named buy_total, add_total, … .
rhythm AS (
    SELECT
        client_id,
        kind,
        count(*) AS total,
        count(*) FILTER (day < 1) AS "1d",
        count(*) FILTER (day < 3) AS "3d",
        count(*) FILTER (day < 7) AS "7d",
        count(*) FILTER (day < 14) AS "14d",
        count(*) FILTER (day < 30) AS "30d",
        count(*) FILTER (day < 60) AS "60d",
        -- In millionths: the sum of integers does not depend on their order.
        sum((1e6 * exp(-age / 86400e6))::BIGINT) / 1e6 AS fading_1d,
        sum((1e6 * exp(-age / 604800e6))::BIGINT) / 1e6 AS fading_7d,
        sum((1e6 * exp(-age / 1209600e6))::BIGINT) / 1e6 AS fading_14d,
        sum((1e6 * exp(-age / 2592000e6))::BIGINT) / 1e6 AS fading_30d,
        sum((1e6 * exp(-age / 7776000e6))::BIGINT) / 1e6 AS fading_90d,
        sum((1e6 * exp(-age / 15552000e6))::BIGINT) / 1e6 AS fading_180d,
        count(DISTINCT day) AS active_days,
        -- The gaps between successive events sum to the time from the first to the last.
        (max(age) - min(age)) / nullif(count(*) - 1, 0) / 86400e6 AS interval_days,
        max(age) / 86400e6 AS first_days,
        min(age) / 86400e6 AS last_days
    FROM happened
    GROUP BY client_id, kind
),

buy AS (
    SELECT client_id, COLUMNS(* EXCLUDE (client_id, kind)) AS 'buy_\0'
    FROM rhythm WHERE kind = 'buy'
),

adds AS (
    SELECT client_id, COLUMNS(* EXCLUDE (client_id, kind)) AS 'add_\0'
    FROM rhythm WHERE kind = 'add'
),

remove AS (
    SELECT client_id, COLUMNS(* EXCLUDE (client_id, kind)) AS 'remove_\0'
    FROM rhythm WHERE kind = 'remove'
),

visit AS (
    SELECT client_id, COLUMNS(* EXCLUDE (client_id, kind)) AS 'visit_\0'
    FROM rhythm WHERE kind = 'visit'
),

search AS (
    SELECT client_id, COLUMNS(* EXCLUDE (client_id, kind)) AS 'search_\0'
    FROM rhythm WHERE kind = 'search'
),

-- A session ends after 30 minutes without an event.
gapped AS (
    SELECT
        *,
        epoch_us(timestamp)
            - lag(epoch_us(timestamp)) OVER (PARTITION BY client_id ORDER BY timestamp) AS gap,
        coalesce(gap > 1800000000, true) AS starts
    FROM happened
),

in_session AS (
    SELECT
        *,
        max(epoch_us(timestamp)) FILTER (starts) OVER (
            PARTITION BY client_id ORDER BY timestamp
        ) AS began
    FROM gapped
),

activity AS (
    SELECT
        client_id,
        count(*) AS any_total,
        count(*) FILTER (day < 7) AS any_7d,
        count(*) FILTER (day < 30) AS any_30d,
        count(DISTINCT day) AS any_active_days,
        count(DISTINCT day) FILTER (day < 7) AS any_active_days_7d,
        count(DISTINCT day) FILTER (day < 30) AS any_active_days_30d,
        count(DISTINCT day // 7) AS any_active_weeks,
        max(age) / 86400e6 AS any_first_days,
        min(age) / 86400e6 AS any_last_days,
        count(*) FILTER (starts) AS sessions,
        count(*) FILTER (starts AND day < 7) AS sessions_7d,
        count(*) FILTER (starts AND day < 30) AS sessions_30d,
        any_total / sessions AS session_events,
        sum(gap) FILTER (NOT starts) / sessions / 60e6 AS session_minutes,
        avg(epoch_us(timestamp) - began) FILTER (kind = 'buy') / 60e6 AS session_minutes_to_buy,
        count(*) FILTER (kind = 'buy') / sessions AS session_buys,
        count(*) FILTER (kind = 'add') / nullif(count(*) FILTER (kind = 'visit'), 0)
            AS adds_per_visit,
        count(*) FILTER (kind = 'buy') / nullif(count(*) FILTER (kind = 'visit'), 0)
            AS buys_per_visit,
        count(*) FILTER (kind = 'buy') / nullif(count(*) FILTER (kind = 'add'), 0) AS buys_per_add,
        count(*) FILTER (kind = 'remove') / nullif(count(*) FILTER (kind = 'add'), 0)
            AS removes_per_add,
        count(*) FILTER (hour(timestamp) < 6) / any_total AS hours_0_to_6,
        count(*) FILTER (hour(timestamp) >= 6 AND hour(timestamp) < 12) / any_total
            AS hours_6_to_12,
        count(*) FILTER (hour(timestamp) >= 12 AND hour(timestamp) < 18) / any_total
            AS hours_12_to_18,
        count(*) FILTER (hour(timestamp) >= 18) / any_total AS hours_18_to_24,
        count(*) FILTER (isodow(timestamp) = 1) / any_total AS mondays,
        count(*) FILTER (isodow(timestamp) = 2) / any_total AS tuesdays,
        count(*) FILTER (isodow(timestamp) = 3) / any_total AS wednesdays,
        count(*) FILTER (isodow(timestamp) = 4) / any_total AS thursdays,
        count(*) FILTER (isodow(timestamp) = 5) / any_total AS fridays,
        count(*) FILTER (isodow(timestamp) = 6) / any_total AS saturdays,
        count(*) FILTER (isodow(timestamp) = 7) / any_total AS sundays
    FROM in_session
    GROUP BY client_id
),

-- Products that were bought or added.
client_sku AS (
    SELECT
        client_id,
        sku,
        any_value(category) AS category,
        any_value(price) AS price,
        any_value(cents) AS cents,
        count(*) AS events,
        count(*) FILTER (day < 30) AS recent,
        count(*) FILTER (event_type = 0) AS bought,
        -- If the log has no price paid, the price of the product is used.
        sum(coalesce(1000 * paid, thousandths * cents)) FILTER (event_type = 0) AS spent,
        count(DISTINCT day) FILTER (event_type = 0) AS bought_days
    FROM relevant_event
    WHERE event_type IN (0, 1)
    GROUP BY client_id, sku
),

products AS (
    SELECT
        client_id,
        count(*) AS distinct_skus,
        count(*) FILTER (recent > 0) AS distinct_skus_30d,
        max(events) / sum(events) AS top_sku_share,
        count(*) FILTER (bought_days > 1) / nullif(count(*) FILTER (bought > 0), 0)
            AS skus_bought_again,
        sum(events * cents) / 100 / nullif(sum(events) FILTER (cents IS NOT NULL), 0) AS price_mean,
        min(cents) / 100 AS price_min,
        max(cents) / 100 AS price_max,
        sum(spent) / 100000 AS price_total
    FROM client_sku
    GROUP BY client_id
),

client_category AS (
    SELECT client_id, category, sum(events) AS events, sum(recent) AS recent
    FROM client_sku
    WHERE category IS NOT NULL
    GROUP BY client_id, category
),

categories AS (
    SELECT
        client_id,
        count(*) AS distinct_categories,
        count(*) FILTER (recent > 0) AS distinct_categories_30d,
        max(events) AS top_category_total,
        max(recent) AS top_category_30d,
        max(events) / sum(events) AS top_category_share
    FROM client_category
    GROUP BY client_id
),

client_url AS (
    SELECT client_id, url, count(*) AS events, count(*) FILTER (day < 30) AS recent
    FROM relevant_event
    WHERE event_type = 3
    GROUP BY client_id, url
),

pages AS (
    SELECT
        client_id,
        count(*) AS distinct_urls,
        count(*) FILTER (recent > 0) AS distinct_urls_30d,
        max(events) / sum(events) AS top_url_share
    FROM client_url
    GROUP BY client_id
),

-- Counts of the shop's top categories, clusters of names, pages, queries and price tiers; the features
-- are named category_1, … .
met AS (
    SELECT client_id, 'category_' || rank AS place, events
    FROM client_category JOIN counters_lists AS lists ON value = category AND list = 1
    UNION ALL
    SELECT client_id, 'cluster_' || rank, events
    FROM client_sku
    JOIN product_properties AS properties USING (sku)
    JOIN counters_lists ON value = properties.name[1] AND list = 2
    UNION ALL
    SELECT client_id, 'page_' || rank, events
    FROM client_url JOIN counters_lists ON value = url AND list = 3
    UNION ALL
    SELECT client_id, 'query_' || rank, 1
    FROM relevant_search_query JOIN counters_lists ON value = query[1] AND list = 4
    UNION ALL
    SELECT
        client_id,
        'tier_' || (
            SELECT 1 + count(*) FROM counters_lists WHERE list = 5 AND value < client_sku.price
        ),
        events
    FROM client_sku
    WHERE price IS NOT NULL
),

tops AS (
    PIVOT met ON place IN (
        category_1, category_2, category_3, category_4, category_5, category_6, category_7,
        category_8, category_9, category_10, category_11, category_12, category_13, category_14,
        category_15, category_16,
        cluster_1, cluster_2, cluster_3, cluster_4, cluster_5, cluster_6, cluster_7, cluster_8,
        cluster_9, cluster_10, cluster_11, cluster_12, cluster_13, cluster_14, cluster_15,
        cluster_16,
        page_1, page_2, page_3, page_4, page_5, page_6, page_7, page_8, page_9, page_10, page_11,
        page_12,
        query_1, query_2, query_3, query_4, query_5, query_6, query_7, query_8,
        tier_1, tier_2, tier_3, tier_4, tier_5, tier_6, tier_7, tier_8
    ) USING sum(events) GROUP BY client_id
),

part AS (
    FROM activity
    LEFT JOIN buy USING (client_id)
    LEFT JOIN adds USING (client_id)
    LEFT JOIN remove USING (client_id)
    LEFT JOIN visit USING (client_id)
    LEFT JOIN search USING (client_id)
    LEFT JOIN products USING (client_id)
    LEFT JOIN categories USING (client_id)
    LEFT JOIN pages USING (client_id)
    LEFT JOIN tops USING (client_id)
)

SELECT
    client_id,
    -- least() skips NULL: events that never happened, or are older, count as one year old.
    least(COLUMNS('.*_(interval|first|last)_days'), 365)::FLOAT,
    coalesce(
        COLUMNS(
            lambda name: name <> 'client_id'
            AND NOT regexp_matches(name, '_(interval|first|last)_days$')
        ),
        0
    )::FLOAT
FROM part
ORDER BY client_id
