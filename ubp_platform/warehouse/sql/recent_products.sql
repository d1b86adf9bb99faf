-- The name codes of the last $last distinct products of each relevant client, ordered by the time they
-- were last touched, oldest first; products without a name are left out.
WITH touched AS (
    SELECT client_id, sku, max(timestamp) AS last_touched
    FROM relevant_event
    WHERE sku IS NOT NULL
    GROUP BY ALL
),
recent AS (
    SELECT client_id, sku, last_touched, name
    FROM touched JOIN product_properties USING (sku)
    WHERE name IS NOT NULL
    QUALIFY row_number() OVER (PARTITION BY client_id ORDER BY last_touched DESC, sku DESC) <= $last
)
SELECT client_id, name
FROM recent
ORDER BY client_id, last_touched, sku
