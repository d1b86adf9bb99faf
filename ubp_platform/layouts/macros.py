"""Functions that a layout's SQL may use in addition to DuckDB's own."""

#: Times from numbers, or texts of digits, that count from 1970-01-01 00:00 UTC; and what changes of
#: products when, from what was seen of them: the names of the columns ``sku``, ``category``,
#: ``price``, ``name`` and ``valid_from``. An empty value leaves the one before; of two at the same
#: time the greater one counts.
MACROS = (
    "CREATE MACRO from_seconds(x) AS "
    "make_timestamptz((TRY_CAST(x AS DECIMAL(20, 6)) * 1000000)::BIGINT)",
    "CREATE MACRO from_milliseconds(x) AS "
    "make_timestamptz((TRY_CAST(x AS DECIMAL(20, 3)) * 1000)::BIGINT)",
    "CREATE MACRO from_microseconds(x) AS make_timestamptz(TRY_CAST(x AS BIGINT))",
    """CREATE MACRO product_changes(seen) AS TABLE
       WITH moment AS (
           SELECT sku, valid_from, max(category) AS category, max(price) AS price, max(name) AS name
           FROM query_table(seen) WHERE sku IS NOT NULL AND valid_from IS NOT NULL
           GROUP BY sku, valid_from),
       held AS (
           SELECT sku, last_value(category IGNORE NULLS) OVER so_far AS category,
                  last_value(price IGNORE NULLS) OVER so_far AS price,
                  last_value(name IGNORE NULLS) OVER so_far AS name, valid_from
           FROM moment
           WINDOW so_far AS (PARTITION BY sku ORDER BY valid_from ROWS UNBOUNDED PRECEDING))
       FROM held QUALIFY row(category, price, name) IS DISTINCT FROM
                         lag(row(category, price, name)) OVER (PARTITION BY sku ORDER BY valid_from)
    """,
)
