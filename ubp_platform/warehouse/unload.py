"""Events and product properties as Parquet files, in the layout ``challenge``.

Codes become text such as ``[12 255 3 …]``, as in the files of RecSys Challenge 2025. DuckDB streams
from table to file: memory does not grow with the log.
"""

from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

import duckdb

from ubp_platform.errors import UBPError, first_line
from ubp_platform.events.schema import ID_COLUMNS, PRODUCTS, TABLES, Table
from ubp_platform.warehouse.warehouse import Warehouse


def event_file(warehouse: Warehouse, name: str, before: datetime, path: Path) -> int:
    """Write the events of a type before a time.

    Parameters
    ----------
    warehouse : Warehouse
    name : str
        One of :data:`~ubp_platform.events.schema.EVENT_TYPES`.
    before : datetime
        Aware; the first instant that is not written.
    path : Path
        The Parquet file.

    Returns
    -------
    int
        How many rows there are.
    """
    table = TABLES[name]
    query = f"SELECT {_columns(table)} FROM {name} WHERE timestamp < $before"
    return _copy(warehouse, _with_ids(warehouse, query, table.columns), path, before=before)


def product_file(warehouse: Warehouse, path: Path) -> int:
    """Write the product properties.

    Parameters
    ----------
    warehouse : Warehouse
    path : Path
        The Parquet file.

    Returns
    -------
    int
        How many rows there are.
    """
    query = f"SELECT {_columns(PRODUCTS)} FROM {PRODUCTS.name}"
    return _copy(warehouse, _with_ids(warehouse, query, PRODUCTS.columns), path)


def purchase_file(warehouse: Warehouse, start: datetime, end: datetime, path: Path) -> int:
    """Write the purchases of a window, with the properties of what was bought.

    Parameters
    ----------
    warehouse : Warehouse
    start, end : datetime
        The window's first instant, and the first one after it; aware.
    path : Path
        The Parquet file. A product without properties has none there either.

    Returns
    -------
    int
        How many rows there are.
    """
    query = f"""SELECT client_id, timestamp, sku, {_columns(PRODUCTS, "sku")}
                FROM (SELECT client_id, timestamp, sku FROM product_buy)
                LEFT JOIN product_properties USING (sku)
                WHERE timestamp >= $start AND timestamp < $end"""
    columns = ("client_id", *PRODUCTS.columns)
    return _copy(warehouse, _with_ids(warehouse, query, columns), path, start=start, end=end)


def _with_ids(warehouse: Warehouse, query: str, columns: Iterable[str]) -> str:
    """Put the shop's text ids in the place of their keys."""
    texts = [
        column
        for column in columns
        if column in ID_COLUMNS and warehouse.identifiers(column).is_text
    ]
    joins = " ".join(
        f"LEFT JOIN {column}_key AS {column}_of ON keyed.{column} = {column}_of.key"
        for column in texts
    )
    replaced = ", ".join(f"{column}_of.id AS {column}" for column in texts)
    return f"SELECT keyed.* REPLACE ({replaced}) FROM ({query}) keyed {joins}" if texts else query


def _columns(table: Table, *without: str) -> str:
    return ", ".join(
        f"'[' || array_to_string({name}, ' ') || ']' AS {name}" if kind == "codes" else name
        for name, kind in table.columns.items()
        if name not in without
    )


def _copy(warehouse: Warehouse, query: str, path: Path, **times: datetime) -> int:
    parameters = {name: time.astimezone(UTC).replace(tzinfo=None) for name, time in times.items()}
    try:
        rows = warehouse.connection.execute(
            f"COPY ({query}) TO $path (FORMAT parquet)", {**parameters, "path": str(path)}
        ).fetchall()
    except (duckdb.IOException, duckdb.OutOfMemoryException) as error:
        raise UBPError(f"cannot write {path}: {first_line(error)}") from None
    return int(rows[0][0])
