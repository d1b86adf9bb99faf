SELECT CASE
           WHEN event = 'Product Viewed' THEN 'Product Viewed, beside the page call of its page'
           WHEN type NOT IN ('page', 'track') THEN 'no event: ' || type
           WHEN event NOT IN ('Product Added', 'Product Removed', 'Order Completed',
                              'Products Searched') THEN 'no event: ' || event
           WHEN client_id IS NULL THEN 'of somebody who does not log in'
       END AS reason
FROM call
WHERE reason IS NOT NULL
