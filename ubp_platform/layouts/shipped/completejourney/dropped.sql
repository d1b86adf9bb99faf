SELECT CASE
           WHEN department = 'FUEL' OR product_category = 'FUEL' THEN 'fuel'
           WHEN department = 'COUPON' OR starts_with(product_category, 'COUPON') THEN 'coupons'
           WHEN quantity <= 0 THEN 'a quantity of zero or less'
       END AS reason
FROM transactions LEFT JOIN products USING (product_id)
WHERE reason IS NOT NULL
