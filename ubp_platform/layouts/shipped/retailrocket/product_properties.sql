-- 790 is the price ('n24.900'), 283 the name, as hashed words.
WITH seen AS (
    SELECT itemid AS sku, max(value) FILTER (property = 'categoryid') AS category,
           ltrim(max(value) FILTER (property = '790'), 'n') AS price,
           max(value) FILTER (property = '283') AS name, from_milliseconds(timestamp) AS valid_from
    FROM properties WHERE property IN ('categoryid', '790', '283') GROUP BY itemid, timestamp)
FROM product_changes('seen')
