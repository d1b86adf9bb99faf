-- The share of a client's queries with each code at each position, for the relevant clients from $first
-- to $last.
WITH
asked AS (
    SELECT client_id, query
    FROM relevant_search_query
    WHERE client_id BETWEEN $first AND $last
),

codes AS (
    SELECT
        client_id,
        unnest(range(len(query))) AS position,
        unnest(query) AS code
    FROM asked
),

queries AS (
    SELECT client_id, count(*) AS total
    FROM asked
    GROUP BY client_id
)

SELECT
    client_id AS id,
    position::INTEGER AS position,
    code::INTEGER AS code,
    (count(*) / any_value(total))::FLOAT AS share
FROM codes
JOIN queries USING (client_id)
GROUP BY id, position, code
ORDER BY id, position, code
