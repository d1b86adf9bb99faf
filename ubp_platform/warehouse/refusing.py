"""Leaving the rows of forgotten clients out of a delivery, before it is checked."""

import csv
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace

import duckdb
import numpy as np
import pyarrow as pa

from ubp_platform.events.schema import EVENTS, PRODUCT_EVENTS, PRODUCTS
from ubp_platform.forgotten import Forgotten
from ubp_platform.warehouse.identifiers import Identifiers
from ubp_platform.warehouse.scan import Scan
from ubp_platform.warehouse.staged import StagedTable

# What may separate the values of a line.
_DELIMITERS = ",;|\t"


def refuse(
    connection: duckdb.DuckDBPyConnection, tables: Mapping[str, StagedTable], forgotten: Forgotten
) -> dict[str, StagedTable]:
    """Leave out of staged tables the rows of forgotten clients, and lines that name one.

    And the product properties that a layout made of such rows alone.
    """
    if not forgotten.refused:
        return dict(tables)
    left = {}
    connection.execute(
        "CREATE OR REPLACE TEMP TABLE refused_product (sku VARCHAR, since TIMESTAMP)"
    )
    for name, staged in tables.items():
        lines = [line for line in staged.lines if not _names_forgotten(line.text, forgotten)]
        left[name] = replace(staged, lines=lines)
        if "client_id" in staged.table.columns:
            left[name] = _without_clients(connection, left[name], forgotten)
    if PRODUCTS.name in left:
        left[PRODUCTS.name] = _without_products(connection, left)
    connection.execute("DROP TABLE refused_product")
    return left


def refused_bad_rows(
    connection: duckdb.DuckDBPyConnection, scan: Scan, numbers: np.ndarray, forgotten: Forgotten
) -> np.ndarray:
    """Return which bad rows name a forgotten client in any column: int64 row numbers.

    Numbers are looked for in ``client_id`` only, where they have been found before.
    """
    if not forgotten.refused or not len(numbers):
        return np.empty(0, np.int64)
    scan.mark_bad(numbers, np.full(len(numbers), "", object))
    with _hashes(connection, forgotten) as salt:
        found = connection.execute(
            """SELECT DISTINCT row_number FROM bad_original, json_each(original) AS field
               WHERE NOT regexp_full_match(trim(field.value ->> '$'), '[0-9]*') AND
                     sha256($salt || trim(field.value ->> '$')) IN (SELECT hash FROM refused_hash)
               ORDER BY row_number""",
            salt,
        ).fetchnumpy()
    return np.asarray(found["row_number"], np.int64)


def returned(connection: duckdb.DuckDBPyConnection, forgotten: Forgotten) -> list[str]:
    """Return the ids of refused clients who are in a warehouse: it was restored from a backup."""
    if not forgotten.refused:
        return []
    ids = "SELECT id FROM client_id_key WHERE id IS NOT NULL"
    if not Identifiers(connection, "client_id").is_text:
        tables = [table.name for table in EVENTS]
        listed = "FROM duckdb_tables() WHERE table_name = 'relevant_client'"
        tables += ["relevant_client"] if connection.execute(listed).fetchall() else []
        ids = " UNION ".join(f"SELECT client_id::VARCHAR AS id FROM {name}" for name in tables)
    with _hashes(connection, forgotten) as salt:
        found = connection.execute(
            f"""SELECT id FROM ({ids}) SEMI JOIN refused_hash ON sha256($salt || id) = hash
                ORDER BY id""",
            salt,
        ).fetchall()
    return [one for (one,) in found]


@contextmanager
def _hashes(
    connection: duckdb.DuckDBPyConnection, forgotten: Forgotten
) -> Iterator[dict[str, str]]:
    """Make the hashes of refused ids a table, ``refused_hash``; yield the salt, for a query."""
    connection.register("refused_hash", pa.table({"hash": forgotten.refused}))
    yield {"salt": forgotten.salt}
    connection.unregister("refused_hash")


def _without_clients(
    connection: duckdb.DuckDBPyConnection, staged: StagedTable, forgotten: Forgotten
) -> StagedTable:
    """Leave rows of forgotten clients out of an event table, and remember their products."""
    Scan(connection, staged)  # makes the view `staged`
    with _hashes(connection, forgotten) as salt:
        connection.execute(
            """CREATE OR REPLACE TEMP TABLE refused_number AS
               WITH refused AS (
                   SELECT client_id FROM (SELECT DISTINCT client_id FROM staged)
                   SEMI JOIN refused_hash ON sha256($salt || client_id::VARCHAR) = hash)
               SELECT row_number FROM staged SEMI JOIN refused USING (client_id)""",
            salt,
        )
    if product := _product_of(staged):
        connection.execute(
            f"""INSERT INTO refused_product SELECT {product}::VARCHAR, timestamp
                FROM staged SEMI JOIN refused_number USING (row_number)"""
        )
    query = "SELECT row_number FROM refused_number ORDER BY row_number"
    return replace(staged, refused=[number for (number,) in connection.execute(query).fetchall()])


def _product_of(staged: StagedTable) -> str | None:
    """Return the column that names a product: in logs without URLs that of the page, too."""
    if staged.table.name in PRODUCT_EVENTS:
        return "sku"
    return "url" if staged.table.name == "page_visit" else None


def _without_products(
    connection: duckdb.DuckDBPyConnection, tables: Mapping[str, StagedTable]
) -> StagedTable:
    """Leave out properties that hold from a refused row on, of products that nobody else touched.

    A layout made them of that row.
    """
    products = tables[PRODUCTS.name]
    if not connection.execute("FROM refused_product LIMIT 1").fetchall():
        return products
    known = "SELECT id FROM sku_key WHERE id IS NOT NULL"
    if not Identifiers(connection, "sku").is_text:
        known = f"SELECT sku::VARCHAR AS id FROM {PRODUCTS.name}"
    connection.execute(f"CREATE OR REPLACE TEMP TABLE other_product AS {known}")
    for staged in tables.values():
        if product := _product_of(staged):
            Scan(connection, staged)
            connection.execute(f"INSERT INTO other_product SELECT {product}::VARCHAR FROM staged")
    Scan(connection, products)
    found = connection.execute(
        """SELECT row_number FROM staged
           WHERE (sku::VARCHAR, valid_from) IN (SELECT (sku, since) FROM refused_product)
                 AND sku::VARCHAR NOT IN (SELECT id FROM other_product WHERE id IS NOT NULL)
           ORDER BY row_number"""
    ).fetchall()
    connection.execute("DROP TABLE other_product")
    return replace(products, refused=[number for (number,) in found])


def _names_forgotten(line: str, forgotten: Forgotten) -> bool:
    """Whether a value of a line that is not a row is the id of a forgotten client."""
    words = {*re.split(r"[\s,;|\"']+", line)}
    for delimiter in _DELIMITERS:
        words |= {*line.split(delimiter)}
        try:
            words |= {value for row in csv.reader([line], delimiter=delimiter) for value in row}
        except csv.Error:
            continue
    words = {word.strip() for word in words} - {""}
    return bool(words) and bool(forgotten.is_refused(np.array(sorted(words))).any())
