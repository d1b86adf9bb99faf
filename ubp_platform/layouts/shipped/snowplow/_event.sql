-- An event that was collected twice has the same event_id. Events before a login, in the same session,
-- belong to the client from the login on; without a login they belong to no client.
WITH once AS (
    SELECT *, TRY_CAST(derived_tstamp AS TIMESTAMP) AS moment
    FROM events QUALIFY row_number() OVER (PARTITION BY event_id ORDER BY collector_tstamp) = 1)
SELECT derived_tstamp AS timestamp, event_name, page_url,
       unstruct_event_com_snowplowanalytics_snowplow_site_search_1_0_0::JSON AS search,
       unstruct_event_com_snowplowanalytics_snowplow_ecommerce_snowplow_ecommerce_action_1_0_0
           ::JSON->>'type' AS action,
       contexts_com_snowplowanalytics_snowplow_ecommerce_product_1_0_0::JSON::JSON[] AS products,
       coalesce(user_id, first_value(user_id IGNORE NULLS) OVER later) AS client_id,
       CASE WHEN user_id IS NULL THEN first_value(
           CASE WHEN user_id IS NOT NULL THEN moment END IGNORE NULLS) OVER later END AS known_from
FROM once
WINDOW later AS (
    PARTITION BY domain_userid, domain_sessionid ORDER BY moment, event_id
    ROWS BETWEEN CURRENT ROW AND UNBOUNDED FOLLOWING)
