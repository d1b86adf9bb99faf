-- What each relevant client bought and added of some of the shop's categories, products and prices:
-- one row for each of these that the client touched. scored_items says which: the `field`, 0 for a
-- category, 1 for a product, 2 for a price, its `value`, and the `place` of it among all.
WITH touched AS (
    SELECT
        client_id,
        event_type = 0 AS bought,
        epoch_us(cutoff) - epoch_us(timestamp) AS age,  -- in microseconds
        unnest([0, 1, 2])::BIGINT AS field,
        unnest([category, sku, price]::BIGINT[]) AS value
    FROM relevant_event, cutoff
    WHERE event_type IN (0, 1)
)

SELECT
    client_id,
    place,
    -- In millionths, since whole numbers add up to the same in whatever order.
    ln(1 + coalesce(sum((1e6 * exp(-age / 604800e6))::BIGINT) FILTER (bought), 0) / 1e6) AS bought_7d,
    ln(1 + coalesce(sum((1e6 * exp(-age / 2592000e6))::BIGINT) FILTER (bought), 0) / 1e6) AS bought_30d,
    ln(1 + coalesce(sum((1e6 * exp(-age / 10368000e6))::BIGINT) FILTER (bought), 0) / 1e6) AS bought_120d,
    ln(1 + count(*) FILTER (bought)) AS bought_total,
    (count(*) FILTER (bought) > 0)::DOUBLE AS bought_ever,
    coalesce(exp(-min(age) FILTER (bought) / 604800e6), 0) AS bought_last_7d,
    coalesce(exp(-min(age) FILTER (bought) / 2592000e6), 0) AS bought_last_30d,
    ln(1 + coalesce(sum((1e6 * exp(-age / 604800e6))::BIGINT) FILTER (NOT bought), 0) / 1e6) AS added_7d,
    ln(1 + coalesce(sum((1e6 * exp(-age / 2592000e6))::BIGINT) FILTER (NOT bought), 0) / 1e6) AS added_30d,
    ln(1 + count(*) FILTER (NOT bought)) AS added_total,
    coalesce(exp(-min(age) FILTER (NOT bought) / 259200e6), 0) AS added_last_3d
FROM touched
INNER JOIN scored_items USING (field, value)
GROUP BY client_id, place
ORDER BY client_id, place
