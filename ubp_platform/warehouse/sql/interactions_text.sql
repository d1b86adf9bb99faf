-- The $last newest events of each relevant client as a text, one event per line, in time order
-- (paper, section 3.2.4):
--
--   visit 5 Jun 2022 10:11 page 17
--   search 5 Jun 2022 10:12 query 7 151 23
--   buy 5 Jun 2022 10:14 product 1234 category 12 price 34 name 9 80 255
--
-- with the first $codes codes of a query or a name. If the shop has words, they replace the numbers:
-- `buy 5 Jun 2022 10:14 organic bananas produce 1.29`. Unknown values are left out. The words are short
-- because the time of a language model depends on the number of tokens; times are absolute, so that a
-- client without new events has the same text at a later cutoff.
WITH recent AS (
    SELECT *
    FROM relevant_event
    -- Events at the same instant in the order of warehouse/sequences.py.
    QUALIFY row_number() OVER (
        PARTITION BY client_id
        ORDER BY timestamp DESC, event_type DESC, sku DESC, url DESC, query DESC
    ) <= $last
),

lines AS (
    SELECT
        recent.*,
        concat_ws(
            ' ',
            -- In the order of the event types' codes.
            ['buy', 'add', 'remove', 'visit', 'search'][event_type + 1],
            strftime(timestamp, '%-d %b %Y %H:%M'),
            -- A product with a known name needs no number.
            CASE WHEN p.words IS NULL THEN 'product ' || coalesce(sku_id.id, recent.sku::VARCHAR) END,
            CASE WHEN p.words IS NULL THEN 'category ' || coalesce(category_id.id, recent.category::VARCHAR) END,
            CASE WHEN p.words IS NULL THEN 'price ' || coalesce(p.money::DECIMAL(18, 2)::VARCHAR, recent.price::VARCHAR) END,
            p.words,
            CASE WHEN p.words IS NOT NULL THEN category_id.id END,
            CASE WHEN p.words IS NOT NULL THEN p.money::DECIMAL(18, 2)::VARCHAR END,
            'name ' || CASE WHEN p.words IS NULL THEN nullif(array_to_string(name[1:$codes], ' '), '') END,
            'page ' || coalesce(url_id.id, recent.url::VARCHAR),
            'query ' || coalesce(recent.words, nullif(array_to_string(query[1:$codes], ' '), ''))
        ) AS line
    FROM recent
    LEFT JOIN product_properties AS p USING (sku)
    LEFT JOIN sku_id USING (sku)
    LEFT JOIN category_id ON recent.category = category_id.category
    LEFT JOIN url_id USING (url)
)

SELECT
    client_id,
    string_agg(line, chr(10) ORDER BY timestamp, event_type, sku, url, query) AS text
FROM lines
GROUP BY client_id
ORDER BY client_id
