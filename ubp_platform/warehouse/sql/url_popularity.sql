-- How popular each page is with all clients. Decimals add up exactly, in whatever order.
SELECT url, ln(1 + count(*))::DECIMAL(18, 9) AS popularity
FROM page_visit
GROUP BY url
