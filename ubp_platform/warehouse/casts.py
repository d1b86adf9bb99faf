"""The SQL that casts delivered values to the warehouse's types: unreadable values become NULL."""

INTEGERS = {"TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT"} | {
    "UTINYINT",
    "USMALLINT",
    "UINTEGER",
    "UBIGINT",
    "UHUGEINT",
}
# A text that is an integer: digits, and an exact .0 that a spreadsheet has added.
_INTEGER = "(0|-?[1-9][0-9]*)([.]0+)?"
# A text id that a spreadsheet has shortened: different ids become equal.
_SHORTENED = "[+-]?[0-9]+([.,][0-9]+[eE][+-]?|[eE][+])[0-9]+"
# The integers from which on a floating-point type cannot represent every integer.
EXACT = {"FLOAT": 2**24, "DOUBLE": 2**53}
# The form of a local time, and of a zone that may follow it: Z, +02:00, +0200, a zone's name.
LOCAL_TIME = r"\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d(?:\.\d+)?)?)?"
_ZONE = r"(?:Z|[+-](?:0\d|1[0-5])(?::?[0-5]\d)?|[A-Za-z][A-Za-z_]*(?:/[A-Za-z_+-]+\d*)*)"


def quoted(value: object) -> str:
    """Return a value as an SQL string literal."""
    return "'" + str(value).replace("'", "''") + "'"


def integer_of(value: str, type_: str) -> str | None:
    """Return the cast to an integer; a text such as '5.12E+08' is not one."""
    if type_ in INTEGERS:
        return f"TRY_CAST({value} AS BIGINT)"
    if type_ in EXACT or type_.startswith("DECIMAL"):
        return f"CASE WHEN {value} = trunc({value}) THEN TRY_CAST({value} AS BIGINT) END"
    if type_ != "VARCHAR":
        return None
    return (
        f"CASE WHEN regexp_full_match({value}, {quoted(_INTEGER)}) "
        f"THEN TRY_CAST(regexp_extract({value}, '^-?[0-9]+') AS BIGINT) END"
    )


def text_of(value: str, type_: str) -> str | None:
    """Return the cast to a text id, unchanged; NULL if it is blank or was shortened."""
    if type_ in {"UUID", "UBIGINT", "HUGEINT", "UHUGEINT"}:
        return f"{value}::VARCHAR"
    if type_ != "VARCHAR":
        return None
    shortened = f"regexp_full_match({value}, {quoted(_SHORTENED)})"
    return f"CASE WHEN trim({value}) <> '' AND NOT {shortened} THEN {value} END"


def amount_of(value: str, type_: str) -> str | None:
    """Return the cast to an amount of money or pieces: a number with a decimal point."""
    if type_ == "FLOAT":  # 9.99 as written, not as the nearest double
        value = f"{value}::VARCHAR"
    if type_ in INTEGERS | EXACT.keys() or type_.startswith("DECIMAL"):
        return f"CASE WHEN isfinite({value}::DOUBLE) THEN {value}::DOUBLE END"
    if type_ != "VARCHAR":
        return None
    number = "[+-]?([0-9]+([.][0-9]*)?|[.][0-9]+)"
    return f"CASE WHEN regexp_full_match({value}, {quoted(number)}) THEN {value}::DOUBLE END"


def codes_of(value: str, type_: str) -> str | None:
    """Return the cast to a list of codes."""
    if type_ == "VARCHAR":
        inner = f"trim({value}, '[] ' || chr(10) || chr(13) || chr(9))"
        value = f"string_split_regex({inner}, '[,\\s]+')"
    elif not type_.endswith("]"):
        return None
    integers = f"TRY_CAST({value} AS INTEGER[])"
    # A code that is not an integer makes the list unreadable.
    complete = f"list_count({integers}) = len({integers})"
    if not any(type_.startswith(f"{integer}[") for integer in INTEGERS):
        complete += f" AND TRY_CAST({value} AS DOUBLE[]) = {integers}"
    return f"CASE WHEN {complete} THEN {integers} END"


def words_of(value: str, type_: str) -> str | None:
    """Return the cast to words, unchanged; NULL if they are blank."""
    return f"CASE WHEN trim({value}) <> '' THEN {value} END" if type_ == "VARCHAR" else None


def time_of(value: str, type_: str, zone: str | None) -> str | None:
    """Return the cast to a time in UTC; without a zone, local times become NULL."""
    local = _local(f"TRY_CAST({value} AS TIMESTAMP)", zone)
    if type_.startswith("TIMESTAMPTZ") or type_ == "TIMESTAMP WITH TIME ZONE":
        # A direct cast turns zoned nanoseconds into NULL.
        return f"TRY_CAST(TRY_CAST({value} AS TIMESTAMPTZ) AS TIMESTAMP)"
    if type_ != "VARCHAR":
        return local if type_.startswith(("TIMESTAMP", "DATE")) else None
    # DuckDB reads +02:00 but not +0200, and drops the offset of a text in a direct cast.
    text = f"trim({value})"
    offset = f"regexp_replace({text}, '\\s*([+-]\\d\\d):?(\\d\\d)$', '\\1:\\2')"
    offset = f"regexp_replace({offset}, '\\s*([+-]\\d\\d)$', '\\1:00')"
    # An offset follows a time of day: the end of 2022-06-01 is not an offset.
    zoned = rf"\d{{4}}-\d\d-\d\d[T ]\d\d:\d\d(?::\d\d(?:\.\d+)?)?\s*{_ZONE}"
    return (
        f"CASE WHEN regexp_full_match({text}, {quoted(LOCAL_TIME)}) "
        f"THEN {_local(f'TRY_CAST({text} AS TIMESTAMP)', zone)} "
        f"WHEN regexp_full_match({text}, {quoted(zoned)}) "
        f"THEN TRY_CAST(TRY_CAST({offset} AS TIMESTAMPTZ) AS TIMESTAMP) END"
    )


def local_time_of(value: str, type_: str) -> str | None:
    """Return the cast to local times, those that name no zone; None if the type has none."""
    if type_ == "VARCHAR":
        text = f"trim({value})"
        local = f"regexp_full_match({text}, {quoted(LOCAL_TIME)})"
        return f"CASE WHEN {local} THEN TRY_CAST({text} AS TIMESTAMP) END"
    if type_.startswith("TIMESTAMPTZ") or type_ == "TIMESTAMP WITH TIME ZONE":
        return None
    return f"TRY_CAST({value} AS TIMESTAMP)" if type_.startswith(("TIMESTAMP", "DATE")) else None


def _local(value: str, zone: str | None) -> str:
    if zone is None:
        return "NULL::TIMESTAMP"
    return value if zone == "UTC" else f"timezone('UTC', timezone({quoted(zone)}, {value}))"
