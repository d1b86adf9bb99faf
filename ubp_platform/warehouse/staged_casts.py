"""The SQL that turns the columns of a staged table into those of the warehouse."""

from collections.abc import Mapping

import duckdb

from ubp_platform.errors import BatchRejected
from ubp_platform.events.schema import DUCKDB_TYPES, Detail, Kind
from ubp_platform.warehouse.casts import (
    EXACT,
    amount_of,
    codes_of,
    integer_of,
    text_of,
    time_of,
    words_of,
)
from ubp_platform.warehouse.staged import StagedTable

_EXPECTED: Mapping[Kind | Detail, str] = {
    "id": "a whole number",
    "price": "a whole number",
    "time": "a time",
    "moment": "a time",
    "codes": "a list of codes",
    "amount": "a number",
    "words": "a text",
}


def column_casts(
    connection: duckdb.DuckDBPyConnection, staged: StagedTable, types: Mapping[str, str]
) -> list[str]:
    """Return an expression over the view ``delivered`` for each column of the warehouse's table.

    Columns that may be empty get a second one, ``COLUMN_unreadable``: whether a value was delivered
    that cannot be cast. ``types`` are the DuckDB types of the delivered columns.

    Raises
    ------
    BatchRejected
        If a delivered type cannot hold what the column holds.
    """
    casts = []
    for column, kind in staged.table.kinds.items():
        source = staged.source_of(column)
        type_ = types.get(source or "")
        if type_ == '"NULL"':  # the SELECT has a literal NULL
            type_ = None
        is_text_id = kind == "id" and staged.kinds.get(column) == "text"
        expression: str | None = f"NULL::{'VARCHAR' if is_text_id else DUCKDB_TYPES[kind]}"
        if source and type_:
            expression = _cast(connection, staged, source, kind, type_)
        if expression is None:
            expected = _EXPECTED[kind]
            if is_text_id:
                expected = "a text, as this shop's ids in that column are,"
            raise BatchRejected(
                f"{staged.name}: the column {column} is of type {type_} throughout; {expected} is "
                "expected"
            )
        casts.append(f"{expression} AS {column}")
        if source in staged.table.fillable:
            present = f'"{source}" IS NOT NULL' if type_ else "false"
            if type_ == "VARCHAR":
                present = f"trim(\"{source}\") <> ''"
            casts.append(f"({present} AND ({expression}) IS NULL) AS {source}_unreadable")
    return casts


def _cast(
    connection: duckdb.DuckDBPyConnection,
    staged: StagedTable,
    source: str,
    kind: Kind | Detail,
    type_: str,
) -> str | None:
    """Return the cast of a delivered column; None if its type cannot hold the kind."""
    value = f'"{source}"'
    if kind in ("time", "moment"):
        return time_of(value, type_, staged.time_zone)
    if kind == "codes":
        return codes_of(value, type_)
    if kind == "amount":
        return amount_of(value, type_)
    if kind == "words":
        return words_of(value, type_)
    if kind == "id" and staged.kinds.get(source) == "text":
        return text_of(value, type_)
    if type_ in EXACT:
        _require_exact(connection, staged.name, value, type_)
    return integer_of(value, type_)


def _require_exact(
    connection: duckdb.DuckDBPyConnection, name: str, value: str, type_: str
) -> None:
    """Refuse integers that are too large for their floating-point type to distinguish."""
    rows = connection.execute(
        f"SELECT {value} FROM delivered WHERE abs({value}) >= {EXACT[type_]} LIMIT 1"
    ).fetchall()
    if rows:
        raise BatchRejected(
            f"{name}: the column {value} is of type {type_} and holds {rows[0][0]:.0f}: from "
            f"{EXACT[type_]:,} on such numbers merge with their neighbours; deliver them as whole "
            "numbers or as text"
        )
