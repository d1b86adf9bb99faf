"""Events and product properties as Parquet files, in the layout ``challenge``.

Codes become text such as ``[12 255 3 …]``, as in the files of RecSys Challenge 2025. DuckDB streams
from table to file, so that memory does not grow with the log.
"""

from collections.abc import Iterable
from datetime import datetime
from pathlib import Path

import duckdb

from ubp_platform.errors import UBPError, first_line
from ubp_platform.events.schema import ID_COLUMNS, PRODUCTS, TABLES, Table
from ubp_platform.times import naive_utc
from ubp_platform.warehouse import products
from ubp_platform.warehouse.identifiers import translated
from ubp_platform.warehouse.views import known_before
from ubp_platform.warehouse.warehouse import Warehouse


def event_file(warehouse: Warehouse, name: str, before: datetime, path: Path) -> int:
    """Write the events of a type known before a time to a Parquet file; return their number."""
    table = TABLES[name]
    query = f"SELECT {_columns(table)} FROM {name} WHERE {known_before('$before')}"
    return _copy(warehouse, _with_ids(warehouse, query, table.columns), path, before=before)


def product_file(warehouse: Warehouse, before: datetime, path: Path) -> int:
    """Write the product properties as of a time to a Parquet file; return their number."""
    query = f"""SELECT {_columns(PRODUCTS)} FROM {products.OVER_TIME} WHERE since < $before
                QUALIFY row_number() OVER (PARTITION BY sku ORDER BY since DESC) = 1
                ORDER BY sku"""
    return _copy(warehouse, _with_ids(warehouse, query, PRODUCTS.columns), path, before=before)


def purchase_file(warehouse: Warehouse, start: datetime, end: datetime, path: Path) -> int:
    """Write the purchases from ``start`` to before ``end``, with the product's properties then.

    Unknown properties are empty. Returns the number of purchases.
    """
    query = f"""SELECT client_id, timestamp, sku, {_columns(PRODUCTS, "sku")}
                FROM (SELECT client_id, timestamp, sku, timestamp AS since FROM product_buy
                      WHERE timestamp >= $start AND timestamp < $end)
                ASOF LEFT JOIN {products.OVER_TIME} USING (sku, since)
                ORDER BY client_id, timestamp, sku"""
    columns = ("client_id", *PRODUCTS.columns)
    return _copy(warehouse, _with_ids(warehouse, query, columns), path, start=start, end=end)


def _with_ids(warehouse: Warehouse, query: str, columns: Iterable[str]) -> str:
    """Return a query with the shop's text ids in place of keys."""
    texts = [
        column
        for column in columns
        if column in ID_COLUMNS and warehouse.identifiers(column).is_text
    ]
    return translated(f"({query})", texts, "id")


def _columns(table: Table, *without: str) -> str:
    return ", ".join(
        f"'[' || array_to_string({name}, ' ') || ']' AS {name}" if kind == "codes" else name
        for name, kind in table.columns.items()
        if name not in without
    )


def _copy(warehouse: Warehouse, query: str, path: Path, **times: datetime) -> int:
    parameters = {name: naive_utc(time) for name, time in times.items()}
    try:
        rows = warehouse.connection.execute(
            f"COPY ({query}) TO $path (FORMAT parquet)", {**parameters, "path": str(path)}
        ).fetchall()
    except (duckdb.IOException, duckdb.OutOfMemoryException) as error:
        raise UBPError(f"cannot write {path}: {first_line(error)}") from None
    return int(rows[0][0])
