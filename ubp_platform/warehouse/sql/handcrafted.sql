-- The 42 handcrafted features of each relevant client (paper, section 3.2.5).
-- docs/features.md defines every one of them, and what stands for an undefined value.
-- sku_popularity and url_popularity have files of their own; they are counted once a history.
WITH
-- Day 0 is the 24 hours that end at the cutoff. Scanning twice is cheaper than keeping the rows.
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

counted AS (
    SELECT
        client_id,
        kind,
        count(*) AS total,
        count(*) FILTER (day < 7) AS week,
        count(*) FILTER (day >= 7 AND day < 14) AS week_before,
        count(*) FILTER (day < 30) AS month,
        count(*) FILTER (day >= 30 AND day < 60) AS month_before,
        min(timestamp) AS first,
        max(timestamp) AS last
    FROM happened
    GROUP BY client_id, kind
),

rhythm AS (
    SELECT
        client_id,
        kind,
        total,
        week AS "7d",
        month AS "30d",
        coalesce((week - week_before) / nullif(week + week_before, 0), 0) AS change_7d,
        coalesce((month - month_before) / nullif(month + month_before, 0), 0) AS change_30d,
        -- The gaps between successive events add up to the time from the first to the last.
        (epoch_us(last) - epoch_us(first)) / nullif(total - 1, 0) / 86400000000
            AS interval_days,
        (epoch_us(cutoff) - epoch_us(first)) / 86400000000 AS first_days,
        (epoch_us(cutoff) - epoch_us(last)) / 86400000000 AS last_days
    FROM counted, cutoff
),

-- One row a client, with columns buy_total, buy_7d, ... visit_last_days.
by_kind AS (
    FROM rhythm
    PIVOT (
        any_value(total) AS total,
        any_value("7d") AS "7d",
        any_value("30d") AS "30d",
        any_value(change_7d) AS change_7d,
        any_value(change_30d) AS change_30d,
        any_value(interval_days) AS interval_days,
        any_value(first_days) AS first_days,
        any_value(last_days) AS last_days
        FOR kind IN ('buy', 'add', 'remove', 'visit')
        GROUP BY client_id
    )
),

-- The days of a week as bits: far fewer rows than one for each day.
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
        count(*) FILTER (kind = 'add') AS added
    FROM (
        SELECT client_id, sku, 'buy' AS kind FROM relevant_product_buy
        UNION ALL
        SELECT client_id, sku, 'add' AS kind FROM relevant_add_to_cart
        UNION ALL
        SELECT client_id, sku, 'remove' AS kind FROM relevant_remove_from_cart
    )
    GROUP BY client_id, sku
),

products AS (
    SELECT
        client_id,
        count(*) AS distinct_skus,
        sum(events * popularity) / sum(events) AS sku_popularity,
        sum(bought + added) FILTER (price IS NOT NULL) AS priced,
        sum((bought + added) * price) AS prices,
        sum((bought + added) * price * price) AS squared_prices,
        sum(bought * price) AS price_total,
        count(*) FILTER (added > 0 AND bought > 0) / nullif(count(*) FILTER (added > 0), 0)
            AS added_skus_bought
    FROM client_sku
    JOIN sku_popularity USING (sku)
    LEFT JOIN product_properties USING (sku)
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

-- A cart is what was added on one UTC day.
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

feature AS (
    SELECT
        client_id,
        -- least() skips NULL: what never happened lies ten years back, as does all that is older.
        buy_total,
        buy_7d,
        buy_30d,
        buy_change_7d,
        buy_change_30d,
        least(buy_interval_days, 3650) AS buy_interval_days,
        least(buy_first_days, 3650) AS buy_first_days,
        least(buy_last_days, 3650) AS buy_last_days,
        add_total,
        add_7d,
        add_30d,
        add_change_7d,
        add_change_30d,
        least(add_interval_days, 3650) AS add_interval_days,
        least(add_first_days, 3650) AS add_first_days,
        least(add_last_days, 3650) AS add_last_days,
        visit_total,
        visit_7d,
        visit_30d,
        visit_change_7d,
        visit_change_30d,
        least(visit_interval_days, 3650) AS visit_interval_days,
        least(visit_first_days, 3650) AS visit_first_days,
        least(visit_last_days, 3650) AS visit_last_days,
        remove_total,
        remove_7d,
        remove_30d,
        remove_change_30d,
        least(remove_last_days, 3650) AS remove_last_days,
        distinct_skus,
        distinct_categories,
        distinct_urls,
        sku_popularity,
        url_popularity,
        prices / nullif(priced, 0) AS price_mean,
        sqrt(priced * squared_prices - prices * prices) / nullif(priced, 0) AS price_std,
        price_total,
        cart_abandonment,
        added_skus_bought,
        added_categories_bought,
        active_weeks,
        active_days
    FROM by_kind
    LEFT JOIN active USING (client_id)
    LEFT JOIN pages USING (client_id)
    LEFT JOIN products USING (client_id)
    LEFT JOIN categories USING (client_id)
    LEFT JOIN carts USING (client_id)
)

SELECT client_id, coalesce(COLUMNS(* EXCLUDE (client_id)), 0)::FLOAT
FROM feature
ORDER BY client_id
