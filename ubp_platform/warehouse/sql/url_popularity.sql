-- The popularity of each page with all clients. The sum of decimals does not depend on their order.
SELECT url, ln(1 + count(*))::DECIMAL(18, 9) AS popularity
FROM page_visit
GROUP BY url
