-- What is told of each relevant client besides the profile: the last event, the number of events, and the
-- categories of most purchases and additions to the cart, in the shop's own words.
WITH liked AS (
    SELECT client_id, category, count(*) AS events
    FROM relevant_event
    WHERE category IS NOT NULL
    GROUP BY client_id, category
),

favourites AS (
    SELECT
        client_id,
        list(coalesce(id, category::VARCHAR) ORDER BY events DESC, category)[:$favourites] AS categories
    FROM liked LEFT JOIN category_id USING (category)
    GROUP BY client_id
),

seen AS (
    SELECT client_id, max(timestamp) AS last_event, count(*)::INTEGER AS events
    FROM relevant_event
    GROUP BY client_id
)

SELECT client_id, last_event, events, categories
FROM seen LEFT JOIN favourites USING (client_id)
ORDER BY client_id
