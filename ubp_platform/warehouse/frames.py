"""Events from DataFrames or Parquet files, for histories without a warehouse."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeAlias

import duckdb
import pandas as pd
import pyarrow as pa

from ubp_platform.errors import UBPError, first_line
from ubp_platform.events.schema import (
    CODE_VALUES,
    CODES,
    DUCKDB_TYPES,
    PRODUCTS,
    TABLES,
    Kind,
    Table,
)
from ubp_platform.warehouse.casts import INTEGERS
from ubp_platform.warehouse.connection import configure
from ubp_platform.warehouse.identifiers import create_dictionaries

#: The accepted forms of a table.
Frame: TypeAlias = pd.DataFrame | pa.Table | Path | str


def database_of(frames: Mapping[str, Frame]) -> duckdb.DuckDBPyConnection:
    """Load frames into an in-memory DuckDB database with all tables of a warehouse.

    Parameters
    ----------
    frames : mapping of str to DataFrame, pyarrow.Table or path
        By table name; each has at least the table's columns. A path names a Parquet file, or is a
        pattern for several. Other tables are empty.

    Raises
    ------
    UBPError
        If a table is unknown, a column is missing, or a value is of another kind; no value is
        coerced.
    """
    if not isinstance(frames, Mapping):
        raise UBPError(
            f"frames must be a mapping, {{'product_buy': frame}}, not a {type(frames).__name__}"
        )
    if unknown := [name for name in frames if name not in TABLES]:
        raise UBPError(f"there is no table {unknown[0]!r}; there are {', '.join(TABLES)}")
    connection = duckdb.connect()
    configure(connection)
    create_dictionaries(connection)
    for name, table in TABLES.items():
        columns = ", ".join(f"{name} {kind}" for name, kind in table.stored.items())
        connection.execute(f"CREATE TABLE {name} ({columns})")
        if name in frames:
            _insert(connection, table, frames[name])
    return connection


def _insert(connection: duckdb.DuckDBPyConnection, table: Table, frame: Frame) -> None:
    source = _relation(connection, table, frame)
    types = {name: str(kind) for name, kind in zip(source.columns, source.types, strict=True)}
    if missing := [name for name in table.columns if name not in types]:
        raise UBPError(
            f"{table.name}: the column {missing[0]} is missing; there are {', '.join(types)}"
        )
    casts = []
    for name, kind in table.columns.items():
        if not _holds(kind, types[name]):
            raise _wrong(table, name, f"it is of type {types[name]}")
        # Values that do not fit become NULL, which is refused below.
        casts.append(f'TRY_CAST("{name}" AS {DUCKDB_TYPES[kind]})')
    try:
        casts += [f"NULL::{table.stored[name]}" for name in table.details]
        source.project(", ".join(casts)).insert_into(table.name)
    except duckdb.Error as error:
        raise UBPError(f"{table.name}: cannot be read: {first_line(error)}") from None
    for name, kind in table.columns.items():
        right = f"{name} IS NOT NULL"
        if kind == "codes":  # A code that does not fit is NULL, which only `len` counts.
            right = f"len({name}) = {CODES} AND list_count({name}) = {CODES}"
        query = f"SELECT count(*) FROM {table.name} WHERE NOT coalesce({right}, false)"
        if wrong := connection.execute(query).fetchall()[0][0]:
            raise _wrong(table, name, f"in {wrong:,} rows it is not")
    if table == PRODUCTS:
        query = "SELECT sku FROM product_properties GROUP BY sku HAVING count(*) > 1 LIMIT 1"
        if twice := connection.execute(query).fetchall():
            raise UBPError(f"{table.name}: sku {twice[0][0]} occurs more than once")


def _holds(kind: Kind, type_: str) -> bool:
    """Whether a DuckDB type holds the values of a kind, each of them exactly."""
    if kind in ("id", "price"):
        return type_ in INTEGERS
    if kind == "time":
        return type_.startswith(("TIMESTAMP", "DATE"))
    return type_.endswith("]") and type_[: type_.index("[")] in INTEGERS


def _relation(
    connection: duckdb.DuckDBPyConnection, table: Table, frame: Any
) -> duckdb.DuckDBPyRelation:
    if not isinstance(frame, pd.DataFrame | pa.Table | Path | str):
        raise UBPError(
            f"{table.name} is a {type(frame).__name__}: pass a pandas DataFrame, a pyarrow.Table, "
            "or the path of a Parquet file"
        )
    try:
        if isinstance(frame, pd.DataFrame):
            return connection.from_df(frame)
        if isinstance(frame, pa.Table):
            return connection.from_arrow(frame)
        return connection.read_parquet(str(frame))
    except duckdb.IOException as error:
        raise UBPError(f"{table.name}: {first_line(error)}") from None
    except duckdb.Error as error:
        what = f"{frame}: not a Parquet file" if isinstance(frame, Path | str) else "cannot be read"
        raise UBPError(f"{table.name}: {what}: {first_line(error)}") from None


def _wrong(table: Table, column: str, why: str) -> UBPError:
    expected = {
        "id": "a whole number",
        "price": "a whole number",
        "time": "a time",
        "codes": f"a list of {CODES} whole numbers from 0 to {CODE_VALUES - 1}",
    }
    return UBPError(
        f"{table.name}: {column} must be {expected[table.columns[column]]} in every row; {why}"
    )
