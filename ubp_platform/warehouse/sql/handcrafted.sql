-- The 42 handcrafted features of each relevant client (paper, section 3.2.5), and any others.
-- docs/reference/features.md defines each feature, and the value that replaces an undefined one.
-- Each column of a part, from `rhythm` to `carts`, is a feature with the column's name: to add one, add
-- a line to the part that it belongs to.
-- sku_popularity and url_popularity have files of their own and are computed once per history.
WITH
-- Day 0 is the 24 hours that end at the cutoff, as in the view `event`. Scanning twice is cheaper than
-- keeping the rows.
happened AS NOT MATERIALIZED (
    SELECT
        client_id,
        kind,
        timestamp,
        (epoch_us(cutoff) - 1 - epoch_us(timestamp)) // 86400000000 AS day
    FROM (
        SELECT client_id, timestamp, 'buy' AS kind FROM relevant_product_buy
        UNION ALL
        SELECT client_id, timestamp, 'add' AS kind FROM relevant_add_to_cart
        UNION ALL
        SELECT client_id, timestamp, 'remove' AS kind FROM relevant_remove_from_cart
        UNION ALL
        SELECT client_id, timestamp, 'visit' AS kind FROM relevant_page_visit
    ), cutoff
),

-- One row per client and kind of event; the features are named buy_total, add_total, … .
rhythm AS (
    SELECT
        client_id,
        kind,
        count(*) AS total,
        count(*) FILTER (day < 7) AS "7d",
        count(*) FILTER (day < 30) AS "30d",
        -- (now - before) / (now + before), where `now` is a window and `before` the one before it.
        avg(if(day < 7, 1, -1)) FILTER (day < 14) AS change_7d,
        avg(if(day < 30, 1, -1)) FILTER (day < 60) AS change_30d,
        -- The gaps between successive events sum to the time from the first to the last.
        (epoch_us(max(timestamp)) - epoch_us(min(timestamp))) / nullif(count(*) - 1, 0)
            / 86400000000 AS interval_days,
        (epoch_us((FROM cutoff)) - epoch_us(min(timestamp))) / 86400000000 AS first_days,
        (epoch_us((FROM cutoff)) - epoch_us(max(timestamp))) / 86400000000 AS last_days
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

visit AS (
    SELECT client_id, COLUMNS(* EXCLUDE (client_id, kind)) AS 'visit_\0'
    FROM rhythm WHERE kind = 'visit'
),

-- The paper has fewer features of removals.
remove AS (
    SELECT
        client_id,
        COLUMNS(* EXCLUDE (client_id, kind, change_7d, interval_days, first_days)) AS 'remove_\0'
    FROM rhythm WHERE kind = 'remove'
),

-- The days of a week as bits need far fewer rows than one row per day.
active_week AS (
    SELECT client_id, day // 7 AS week, bit_or(1 << (day % 7)) AS days
    FROM happened
    GROUP BY client_id, week
),

active AS (
    SELECT client_id, count(*) AS active_weeks, sum(bit_count(days)) AS active_days
    FROM active_week
    GROUP BY client_id
),

client_url AS (
    SELECT client_id, url, count(*) AS events
    FROM relevant_page_visit
    GROUP BY client_id, url
),

pages AS (
    SELECT
        client_id,
        count(*) AS distinct_urls,
        sum(events * popularity) / sum(events) AS url_popularity
    FROM client_url JOIN url_popularity USING (url)
    GROUP BY client_id
),

client_sku AS (
    SELECT
        client_id,
        sku,
        count(*) AS events,
        count(*) FILTER (kind = 'buy') AS bought,
        count(*) FILTER (kind = 'add') AS added,
        sum(paid) FILTER (kind = 'buy') AS paid,
        -- For these the price of the product is used.
        sum(thousandths) FILTER (kind = 'buy' AND paid IS NULL) AS unpriced
    FROM (
        SELECT client_id, sku, 'buy' AS kind, paid, thousandths FROM relevant_product_buy
        UNION ALL
        SELECT client_id, sku, 'add' AS kind, paid, thousandths FROM relevant_add_to_cart
        UNION ALL
        SELECT client_id, sku, 'remove' AS kind, paid, thousandths FROM relevant_remove_from_cart
    )
    GROUP BY client_id, sku
),

products AS (
    SELECT
        client_id,
        count(*) AS distinct_skus,
        sum(events * popularity) / sum(events) AS sku_popularity,
        sum((bought + added) * cents) / 100
            / nullif(sum(bought + added) FILTER (cents IS NOT NULL), 0) AS price_mean,
        sqrt(
            sum(bought + added) FILTER (cents IS NOT NULL) * sum((bought + added) * cents * cents)
            - sum((bought + added) * cents) * sum((bought + added) * cents)
        ) / 100 / nullif(sum(bought + added) FILTER (cents IS NOT NULL), 0) AS price_std,
        sum(1000 * coalesce(paid, 0) + coalesce(unpriced * cents, 0)) / 100000 AS price_total,
        count(*) FILTER (added > 0 AND bought > 0) / nullif(count(*) FILTER (added > 0), 0)
            AS added_skus_bought
    FROM client_sku
    JOIN sku_popularity USING (sku)
    LEFT JOIN product_cents USING (sku)
    GROUP BY client_id
),

client_category AS (
    SELECT client_id, category, sum(bought) AS bought, sum(added) AS added
    FROM client_sku JOIN product_properties USING (sku)
    GROUP BY client_id, category
),

categories AS (
    SELECT
        client_id,
        count(*) AS distinct_categories,
        count(*) FILTER (added > 0 AND bought > 0) / nullif(count(*) FILTER (added > 0), 0)
            AS added_categories_bought
    FROM client_category
    GROUP BY client_id
),

-- A cart consists of the products added on one UTC day.
cart AS (
    SELECT client_id, timestamp::DATE AS date, bool_or(bought) AS bought
    FROM (
        SELECT client_id, timestamp, false AS bought FROM relevant_add_to_cart
        UNION ALL
        SELECT client_id, timestamp, true AS bought FROM relevant_product_buy
    )
    GROUP BY client_id, date
    HAVING NOT bool_and(bought)
),

carts AS (
    SELECT client_id, count(*) FILTER (NOT bought) / count(*) AS cart_abandonment
    FROM cart
    GROUP BY client_id
),

part AS (
    FROM active
    LEFT JOIN buy USING (client_id)
    LEFT JOIN adds USING (client_id)
    LEFT JOIN visit USING (client_id)
    LEFT JOIN remove USING (client_id)
    LEFT JOIN pages USING (client_id)
    LEFT JOIN products USING (client_id)
    LEFT JOIN categories USING (client_id)
    LEFT JOIN carts USING (client_id)
),

feature AS (
    SELECT
        client_id,
        -- least() skips NULL: events that never happened, or are older, count as ten years old.
        least(COLUMNS('.*_(interval|first|last)_days'), 3650)::FLOAT,
        coalesce(
            COLUMNS(
                lambda name: name <> 'client_id'
                AND NOT regexp_matches(name, '_(interval|first|last)_days$')
            ),
            0
        )::FLOAT
    FROM part
),

-- The order in profiles: first the paper's features, then all others in the order above.
in_order AS (
    SELECT
        NULL::BIGINT AS client_id,
        NULL::FLOAT AS buy_total,
        NULL::FLOAT AS buy_7d,
        NULL::FLOAT AS buy_30d,
        NULL::FLOAT AS buy_change_7d,
        NULL::FLOAT AS buy_change_30d,
        NULL::FLOAT AS buy_interval_days,
        NULL::FLOAT AS buy_first_days,
        NULL::FLOAT AS buy_last_days,
        NULL::FLOAT AS add_total,
        NULL::FLOAT AS add_7d,
        NULL::FLOAT AS add_30d,
        NULL::FLOAT AS add_change_7d,
        NULL::FLOAT AS add_change_30d,
        NULL::FLOAT AS add_interval_days,
        NULL::FLOAT AS add_first_days,
        NULL::FLOAT AS add_last_days,
        NULL::FLOAT AS visit_total,
        NULL::FLOAT AS visit_7d,
        NULL::FLOAT AS visit_30d,
        NULL::FLOAT AS visit_change_7d,
        NULL::FLOAT AS visit_change_30d,
        NULL::FLOAT AS visit_interval_days,
        NULL::FLOAT AS visit_first_days,
        NULL::FLOAT AS visit_last_days,
        NULL::FLOAT AS remove_total,
        NULL::FLOAT AS remove_7d,
        NULL::FLOAT AS remove_30d,
        NULL::FLOAT AS remove_change_30d,
        NULL::FLOAT AS remove_last_days,
        NULL::FLOAT AS distinct_skus,
        NULL::FLOAT AS distinct_categories,
        NULL::FLOAT AS distinct_urls,
        NULL::FLOAT AS sku_popularity,
        NULL::FLOAT AS url_popularity,
        NULL::FLOAT AS price_mean,
        NULL::FLOAT AS price_std,
        NULL::FLOAT AS price_total,
        NULL::FLOAT AS cart_abandonment,
        NULL::FLOAT AS added_skus_bought,
        NULL::FLOAT AS added_categories_bought,
        NULL::FLOAT AS active_weeks,
        NULL::FLOAT AS active_days
    LIMIT 0
)

FROM (FROM in_order UNION ALL BY NAME FROM feature)
ORDER BY client_id
