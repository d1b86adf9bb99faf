-- GA4 has no event ids: equal rows are one event. Events before a login, on the same device and without
-- a break of half an hour, belong to the client from the login on; without a login they belong to no
-- client.
WITH once AS (
    SELECT DISTINCT * EXCLUDE (_file, _row), from_microseconds(event_timestamp) AS timestamp
    FROM events),
broken AS (
    SELECT *, coalesce(timestamp - lag(timestamp) OVER device > INTERVAL 30 MINUTE, true) AS first
    FROM once WINDOW device AS (PARTITION BY user_pseudo_id ORDER BY timestamp)),
visit AS (
    SELECT *, sum(first::INTEGER) OVER (PARTITION BY user_pseudo_id ORDER BY timestamp) AS visit
    FROM broken)
SELECT * EXCLUDE (first, visit),
       coalesce(user_id, first_value(user_id IGNORE NULLS) OVER later) AS client_id,
       CASE WHEN user_id IS NULL THEN first_value(
           CASE WHEN user_id IS NOT NULL THEN timestamp END IGNORE NULLS) OVER later END AS known_from
FROM visit
WINDOW later AS (
    PARTITION BY user_pseudo_id, visit ORDER BY timestamp
    ROWS BETWEEN CURRENT ROW AND UNBOUNDED FOLLOWING)
