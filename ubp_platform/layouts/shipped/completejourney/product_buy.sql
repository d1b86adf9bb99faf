-- One row per line of a basket, without fuel, coupons and lines with no quantity.
SELECT household_id AS client_id, transaction_timestamp AS timestamp, product_id AS sku,
       sales_value / quantity AS price, quantity
FROM transactions LEFT JOIN products USING (product_id)
WHERE coalesce(department, '') NOT IN ('FUEL', 'COUPON')
      AND coalesce(product_category, '') <> 'FUEL'
      AND NOT starts_with(coalesce(product_category, ''), 'COUPON')
      AND quantity > 0
