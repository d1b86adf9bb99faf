"""Leaving the rows of forgotten clients out of a delivery, before it is checked."""

import re
from collections.abc import Mapping
from dataclasses import replace

import duckdb
import numpy as np
import pyarrow as pa

from ubp_platform.events.schema import EVENTS, PRODUCT_EVENTS, PRODUCTS
from ubp_platform.forgotten import Forgotten
from ubp_platform.warehouse.identifiers import Identifiers
from ubp_platform.warehouse.scan import Scan
from ubp_platform.warehouse.staged import StagedTable

#: What separates the values of a line that could not be read as a row.
SEPARATORS = r"""[,;|"'\s]+"""


def refuse(
    connection: duckdb.DuckDBPyConnection, tables: Mapping[str, StagedTable], forgotten: Forgotten
) -> dict[str, StagedTable]:
    """Leave out of staged tables the rows of forgotten clients, and lines that name one.

    And product properties that a layout made of such rows.
    """
    if not forgotten.refused:
        return dict(tables)
    left = {}
    connection.execute("CREATE OR REPLACE TEMP TABLE refused_time (since TIMESTAMP)")
    for name, staged in tables.items():
        lines = [line for line in staged.lines if not _names_forgotten(line.text, forgotten)]
        left[name] = replace(staged, lines=lines)
        if "client_id" in staged.table.columns:
            left[name] = _without_clients(connection, left[name], forgotten)
    if PRODUCTS.name in left:
        left[PRODUCTS.name] = _without_products(connection, left)
    connection.execute("DROP TABLE refused_time")
    return left


def returned(connection: duckdb.DuckDBPyConnection, forgotten: Forgotten) -> np.ndarray:
    """Return the ids of refused clients who are in a warehouse: it was restored from a backup."""
    if not forgotten.refused:
        return np.empty(0, np.int64)
    is_text = Identifiers(connection, "client_id").is_text
    events = " UNION ".join(f"SELECT client_id AS id FROM {table.name}" for table in EVENTS)
    ids = "SELECT id FROM client_id_key WHERE id IS NOT NULL" if is_text else events
    connection.register("refused_hash", pa.table({"hash": forgotten.refused}))
    found = connection.execute(
        f"SELECT id FROM ({ids}) SEMI JOIN refused_hash ON sha256($salt || id::VARCHAR) = hash",
        {"salt": forgotten.salt},
    ).fetchall()
    connection.unregister("refused_hash")
    return np.array([one for (one,) in found], np.str_ if is_text else np.int64)


def _without_clients(
    connection: duckdb.DuckDBPyConnection, staged: StagedTable, forgotten: Forgotten
) -> StagedTable:
    """Leave rows of forgotten clients out of an event table, and remember their times."""
    Scan(connection, staged)  # makes the view `staged`
    connection.register("refused_hash", pa.table({"hash": forgotten.refused}))
    connection.execute(
        """CREATE OR REPLACE TEMP TABLE refused_number AS
           WITH refused AS (
               SELECT client_id FROM (SELECT DISTINCT client_id FROM staged)
               SEMI JOIN refused_hash ON sha256($salt || client_id::VARCHAR) = hash)
           SELECT row_number FROM staged SEMI JOIN refused USING (client_id)""",
        {"salt": forgotten.salt},
    )
    connection.unregister("refused_hash")
    connection.execute(
        """INSERT INTO refused_time
           SELECT timestamp FROM staged SEMI JOIN refused_number USING (row_number)"""
    )
    query = "SELECT row_number FROM refused_number ORDER BY row_number"
    return replace(staged, refused=[number for (number,) in connection.execute(query).fetchall()])


def _without_products(
    connection: duckdb.DuckDBPyConnection, tables: Mapping[str, StagedTable]
) -> StagedTable:
    """Leave out properties that hold from a refused row on, of products that nobody else touched.

    A layout made them of that row; or nobody misses them before the next row about the product.
    """
    products = tables[PRODUCTS.name]
    if not connection.execute("FROM refused_time LIMIT 1").fetchall():
        return products
    known = "SELECT id FROM sku_key WHERE id IS NOT NULL"
    if not Identifiers(connection, "sku").is_text:
        known = f"SELECT sku::VARCHAR AS id FROM {PRODUCTS.name}"
    connection.execute(f"CREATE OR REPLACE TEMP TABLE other_product AS {known}")
    for staged in tables.values():
        if staged.table.name in PRODUCT_EVENTS:
            Scan(connection, staged)
            connection.execute("INSERT INTO other_product SELECT sku::VARCHAR FROM staged")
    Scan(connection, products)
    found = connection.execute(
        """SELECT row_number FROM staged
           WHERE valid_from IN (FROM refused_time)
                 AND sku::VARCHAR NOT IN (SELECT id FROM other_product WHERE id IS NOT NULL)
           ORDER BY row_number"""
    ).fetchall()
    connection.execute("DROP TABLE other_product")
    return replace(products, refused=[number for (number,) in found])


def _names_forgotten(line: str, forgotten: Forgotten) -> bool:
    words = np.array(re.split(SEPARATORS, line))
    return bool(forgotten.is_refused(words).any())
