-- Products that were sold. The price is the shelf price of one unit at the first sale: the amount paid
-- plus the grocer's discounts, divided by the quantity.
WITH sale AS (
    SELECT product_id, household_id, transaction_timestamp,
           round((sales_value + retail_disc + coupon_match_disc) / quantity, 2) AS price
    FROM transactions LEFT JOIN products USING (product_id)
    WHERE coalesce(department, '') NOT IN ('FUEL', 'COUPON')
          AND coalesce(product_category, '') <> 'FUEL'
          AND NOT starts_with(coalesce(product_category, ''), 'COUPON')
          AND quantity > 0),
first_sale AS (
    SELECT * FROM sale
    QUALIFY row_number() OVER (
        PARTITION BY product_id ORDER BY transaction_timestamp, household_id, price) = 1)
SELECT product_id AS sku, coalesce(product_type, product_category, department) AS category, price,
       concat_ws(' ', department, product_category, product_type, brand, package_size) AS name
FROM products JOIN first_sale USING (product_id)
