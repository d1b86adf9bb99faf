-- The popularity of each product with all clients. The sum of decimals does not depend on their order.
SELECT sku, ln(1 + count(*))::DECIMAL(18, 9) AS popularity
FROM (
    SELECT sku FROM product_buy
    UNION ALL
    SELECT sku FROM add_to_cart
    UNION ALL
    SELECT sku FROM remove_from_cart
)
GROUP BY sku
