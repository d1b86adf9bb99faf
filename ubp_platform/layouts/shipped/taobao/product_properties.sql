-- What a row shows of a product holds from then on; category 0 means none.
WITH seen AS (
    SELECT item_id AS sku, nullif(category_id, '0') AS category, NULL AS price, NULL AS name,
           from_seconds(seconds) AS valid_from FROM behaviour)
SELECT sku, category, valid_from FROM product_changes('seen')
