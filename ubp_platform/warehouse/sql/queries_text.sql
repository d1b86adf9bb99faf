-- The $last newest search queries of each relevant client as a table, in time order, with the first
-- $codes codes of each query and tabs between the columns (paper, section 3.2.4):
--
--   time              query
--   5 Jun 2022 10:12  7 151 23
--   6 Jun 2022 09:40  7 150 201
WITH recent AS (
    SELECT *
    FROM relevant_search_query
    QUALIFY row_number() OVER (
        PARTITION BY client_id
        ORDER BY timestamp DESC, query DESC
    ) <= $last
),

lines AS (
    SELECT
        *,
        strftime(timestamp, '%-d %b %Y %H:%M') || chr(9)
            || coalesce(words, array_to_string(query[1:$codes], ' ')) AS line
    FROM recent
)

SELECT
    client_id,
    concat_ws(
        chr(10),
        'time' || chr(9) || 'query',
        string_agg(line, chr(10) ORDER BY timestamp, query)
    ) AS text
FROM lines
GROUP BY client_id
ORDER BY client_id
