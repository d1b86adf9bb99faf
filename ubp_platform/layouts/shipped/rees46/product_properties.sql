-- What a row shows of a product holds from then on.
WITH seen AS (
    SELECT product_id AS sku, category_code AS category, price, brand AS name,
           event_time AS valid_from FROM events)
FROM product_changes('seen')
