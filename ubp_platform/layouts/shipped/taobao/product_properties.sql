-- Category 0 means none.
SELECT item_id AS sku, nullif(arg_max(category_id, seconds::BIGINT), '0') AS category
FROM behaviour GROUP BY item_id
