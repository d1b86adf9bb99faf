-- The values of the newest event; '(not set)' means empty.
WITH seen AS (
    SELECT event_timestamp::BIGINT AS seen_at, unnest(items) AS item FROM events)
SELECT item.item_id AS sku,
       arg_max(nullif(concat_ws('.', nullif(item.item_category, '(not set)'), item.item_category2,
                                item.item_category3), ''), seen_at) AS category,
       arg_max(item.price, seen_at) AS price,
       arg_max(nullif(item.item_name, '(not set)'), seen_at) AS name
FROM seen WHERE item.item_id IS NOT NULL GROUP BY item.item_id
