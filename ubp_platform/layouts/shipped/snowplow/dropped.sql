SELECT CASE
           WHEN event_name NOT IN ('page_view', 'site_search', 'snowplow_ecommerce_action')
               THEN 'no event: ' || event_name
           WHEN action NOT IN ('add_to_cart', 'remove_from_cart', 'transaction')
               THEN 'no event: ' || action
           WHEN client_id IS NULL THEN 'of somebody who does not log in'
       END AS reason
FROM event
WHERE reason IS NOT NULL
