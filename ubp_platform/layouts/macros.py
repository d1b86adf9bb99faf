"""Functions that a layout's SQL may use in addition to DuckDB's own."""

#: Times from numbers, or texts of digits, that count from 1970-01-01 00:00 UTC.
MACROS = (
    "CREATE MACRO from_seconds(x) AS "
    "make_timestamptz((TRY_CAST(x AS DECIMAL(20, 6)) * 1000000)::BIGINT)",
    "CREATE MACRO from_milliseconds(x) AS "
    "make_timestamptz((TRY_CAST(x AS DECIMAL(20, 3)) * 1000)::BIGINT)",
    "CREATE MACRO from_microseconds(x) AS make_timestamptz(TRY_CAST(x AS BIGINT))",
)
