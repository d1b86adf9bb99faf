-- The name codes of each product that a relevant client touched, one row per position.
SELECT
    sku AS id,
    (unnest(range(len(name))))::INTEGER AS position,
    (unnest(name))::INTEGER AS code,
    1::FLOAT AS share
FROM product_properties
SEMI JOIN relevant_event USING (sku)
ORDER BY id, position, code
