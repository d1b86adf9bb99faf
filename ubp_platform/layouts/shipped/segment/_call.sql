-- A call that was sent again has the same messageId. Events before a login, on the same device and
-- without a break of half an hour, belong to the client from the login on; without a login they belong
-- to no client.
WITH once AS (
    SELECT *, TRY_CAST(timestamp AS TIMESTAMPTZ) AS moment
    FROM calls QUALIFY row_number() OVER (PARTITION BY messageId ORDER BY receivedAt) = 1),
broken AS (
    SELECT *, coalesce(moment - lag(moment) OVER device > INTERVAL 30 MINUTE, true) AS first
    FROM once WINDOW device AS (PARTITION BY anonymousId ORDER BY moment, messageId)),
visit AS (
    SELECT *, sum(first::INTEGER) OVER (PARTITION BY anonymousId ORDER BY moment, messageId) AS visit
    FROM broken)
SELECT * EXCLUDE (moment, first, visit),
       coalesce(userId, first_value(userId IGNORE NULLS) OVER later) AS client_id,
       CASE WHEN userId IS NULL THEN first_value(
           CASE WHEN userId IS NOT NULL THEN moment END IGNORE NULLS) OVER later END AS known_from
FROM visit
WINDOW later AS (
    PARTITION BY anonymousId, visit ORDER BY moment, messageId
    ROWS BETWEEN CURRENT ROW AND UNBOUNDED FOLLOWING)
