SELECT CASE
           WHEN event_name = 'view_item' THEN 'view_item, beside the page_view of its page'
           WHEN event_name NOT IN ('page_view', 'view_search_results', 'add_to_cart',
                                   'remove_from_cart', 'purchase')
               THEN 'no event: ' || event_name
           WHEN client_id IS NULL THEN 'of somebody who does not log in'
       END AS reason
FROM event
WHERE reason IS NOT NULL
