-- What an event shows of a product holds from then on; '(not set)' means empty.
WITH shown AS (
    SELECT from_microseconds(event_timestamp) AS valid_from, unnest(items) AS item FROM events),
seen AS (
    SELECT item.item_id AS sku,
           nullif(concat_ws('.', nullif(item.item_category, '(not set)'), item.item_category2,
                            item.item_category3), '') AS category,
           item.price AS price, nullif(item.item_name, '(not set)') AS name, valid_from
    FROM shown)
FROM product_changes('seen')
