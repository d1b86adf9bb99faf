-- The latest value of each property; 790 is the price ('n24.900'), 283 the name, as hashed words.
SELECT itemid AS sku,
       arg_max(value, timestamp::BIGINT) FILTER (property = 'categoryid') AS category,
       ltrim(arg_max(value, timestamp::BIGINT) FILTER (property = '790'), 'n') AS price,
       arg_max(value, timestamp::BIGINT) FILTER (property = '283') AS name
FROM properties GROUP BY itemid
