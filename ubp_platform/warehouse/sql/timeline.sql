-- The newest events of the relevant clients in the shop's own words, the newest first, in the order of
-- sequences. Bit n of $types is set where events of type n are wanted.
SELECT
    e.timestamp,
    e.event_type,
    coalesce(product.id, e.sku::VARCHAR) AS product,
    p.words AS name,
    coalesce(kind.id, e.category::VARCHAR) AS category,
    coalesce(e.paid / 100, p.money) AS money,
    e.price AS bucket,
    coalesce(page.id, e.url::VARCHAR) AS page,
    e.words AS query
FROM relevant_event AS e
LEFT JOIN product_properties AS p ON p.sku = e.sku
LEFT JOIN sku_id AS product ON product.sku = e.sku
LEFT JOIN category_id AS kind ON kind.category = e.category
LEFT JOIN url_id AS page ON page.url = e.url
WHERE ($types::BIGINT >> e.event_type) & 1 = 1
ORDER BY e.timestamp DESC, e.event_type DESC, e.sku DESC, e.url DESC, e.query DESC
LIMIT $last
