"""Removing clients from the warehouse.

The keys of text ids stay given, so that no other id ever gets them; what they stood for is gone.
What is removed leaves its bytes in free blocks of DuckDB's file, until that is written anew by
:meth:`~ubp_platform.warehouse.warehouse.Warehouse.rewrite`.
"""

from collections.abc import Iterable

import duckdb
import numpy as np
import pyarrow as pa

from ubp_platform.events.schema import EVENTS, ID_COLUMNS, PRODUCT_EVENTS, PRODUCTS, TABLES
from ubp_platform.warehouse import values
from ubp_platform.warehouse.casts import quoted
from ubp_platform.warehouse.refusing import SEPARATORS


def first_events(
    connection: duckdb.DuckDBPyConnection, keys: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return those of some clients who have an event, and the time of each one's first event.

    Parameters
    ----------
    connection : DuckDBPyConnection
    keys : ndarray of int64, shape (n,)

    Returns
    -------
    clients : ndarray of int64, shape (m,)
    times : ndarray of datetime64[us], shape (m,)
    """
    connection.register("asked", pa.table({"client_id": keys}))
    parts = " UNION ALL ".join(
        f"SELECT client_id, timestamp FROM {table.name} SEMI JOIN asked USING (client_id)"
        for table in EVENTS
    )
    found = connection.execute(
        f"SELECT client_id, min(timestamp) AS first FROM ({parts}) GROUP BY client_id"
    ).fetchnumpy()
    connection.unregister("asked")
    return np.asarray(found["client_id"]), np.asarray(found["first"], "datetime64[us]")


def remove(
    connection: duckdb.DuckDBPyConnection, keys: np.ndarray, client_ids: np.ndarray
) -> dict[str, int]:
    """Remove clients: called inside a transaction; doing it twice is as good as once.

    Parameters
    ----------
    connection : DuckDBPyConnection
    keys : ndarray of int64
    client_ids : ndarray
        The shop's ids.

    Returns
    -------
    dict of str to int
        The number of rows that each table lost, if any.
    """
    given = pa.table({"client_id": pa.array(keys, pa.int64())})
    connection.register("forgotten_key", given)
    connection.execute(
        f"CREATE OR REPLACE TEMP TABLE touched AS {_touched()};"
        f"CREATE OR REPLACE TEMP TABLE shortened AS {_shortened()}"
    )
    lost = {table.name: _delete(connection, table.name) for table in EVENTS}
    lost[PRODUCTS.name] = _remove_products(connection)
    lost["quarantine"] = _remove_quarantined(connection, client_ids)
    listed = "FROM duckdb_tables() WHERE table_name = 'relevant_client'"
    if connection.execute(listed).fetchall():
        _delete(connection, "relevant_client")
    _shorten_batches(connection)
    _forget_ids(connection)
    values.forget_texts(connection)
    connection.unregister("forgotten_key")
    connection.execute("DROP TABLE touched; DROP TABLE shortened")
    return {table: rows for table, rows in lost.items() if rows}


def _touched() -> str:
    """Select the times and the batches of the clients' events."""
    return " UNION ".join(
        f"SELECT timestamp, batch_id FROM {table.name} SEMI JOIN forgotten_key USING (client_id)"
        for table in EVENTS
    )


def _shortened() -> str:
    """Select the files that lose events."""
    return " UNION ALL ".join(
        f"""SELECT DISTINCT batch_id, '{table.name}' AS table_name
            FROM {table.name} SEMI JOIN forgotten_key USING (client_id)"""
        for table in EVENTS
    )


def _delete(connection: duckdb.DuckDBPyConnection, table: str) -> int:
    query = f"DELETE FROM {table} WHERE client_id IN (SELECT client_id FROM forgotten_key)"
    return int(connection.execute(query).fetchall()[0][0])


def _remove_products(connection: duckdb.DuckDBPyConnection) -> int:
    """Remove what a layout made of the clients' events, of products that nobody else touched.

    That are the properties that hold from the time of such an event on.
    """
    others = " UNION ALL ".join(f"SELECT sku FROM {name}" for name in PRODUCT_EVENTS)
    return int(
        connection.execute(
            f"""DELETE FROM {PRODUCTS.name} AS product
                WHERE EXISTS (FROM touched WHERE touched.batch_id = product.batch_id
                              AND touched.timestamp = product.valid_from)
                      AND product.sku NOT IN ({others})"""
        ).fetchall()[0][0]
    )


def _remove_quarantined(connection: duckdb.DuckDBPyConnection, client_ids: np.ndarray) -> int:
    """Remove the quarantined rows of clients.

    Of a row the column ``client_id`` counts, and any other one that holds a text id; of a line that
    is not a row, any value that is an id.
    """
    texts = [str(one) for one in client_ids.tolist()]
    connection.register("forgotten_id", pa.table({"id": pa.array(texts, pa.string())}))
    words = f"string_split_regex(original ->> '$', {quoted(SEPARATORS)})"
    any_column = "true" if client_ids.dtype.kind == "U" else "lower(field.key) = 'client_id'"
    found = connection.execute(
        f"""DELETE FROM quarantine WHERE rowid IN (
                WITH value AS (
                    SELECT quarantine.rowid AS row, trim(field.value ->> '$') AS text
                    FROM quarantine, json_each(original) AS field
                    WHERE json_type(original) = 'OBJECT' AND {any_column}
                    UNION ALL
                    SELECT rowid, unnest({words}) FROM quarantine
                    WHERE json_type(original) = 'VARCHAR')
                SELECT row FROM value
                WHERE text IN (SELECT id FROM forgotten_id)
                      OR TRY_CAST(TRY_CAST(text AS DOUBLE) AS HUGEINT)::VARCHAR
                         IN (SELECT id FROM forgotten_id))"""
    ).fetchall()
    connection.unregister("forgotten_id")
    return int(found[0][0])


def _shorten_batches(connection: duckdb.DuckDBPyConnection) -> None:
    """Let the ledger's times be those of the events that are left; else no more than a day."""
    left = " UNION ALL ".join(
        f"""SELECT batch_id, '{table.name}' AS table_name, min(timestamp) AS first_event,
                   max(timestamp) AS last_event,
                   min(coalesce(event.delivered_at, batch.delivered_at)) AS first_delivered,
                   max(coalesce(event.delivered_at, batch.delivered_at)) AS last_delivered
            FROM {table.name} AS event JOIN batch USING (batch_id) GROUP BY batch_id"""
        for table in EVENTS
    )
    times = ("first_event", "last_event", "first_delivered", "last_delivered")
    new = ", ".join(f"{name} = coalesce(n.{name}, date_trunc('day', f.{name}))" for name in times)
    connection.execute(
        f"""UPDATE batch_file AS f SET {new}
            FROM (FROM shortened LEFT JOIN ({left}) USING (batch_id, table_name)) AS n
            WHERE f.batch_id = n.batch_id AND f.table_name = n.table_name"""
    )


def _forget_ids(connection: duckdb.DuckDBPyConnection) -> None:
    """Remove text ids that are in no table any more; of clients, only those to forget."""
    for column in ID_COLUMNS:
        tables = [table.name for table in TABLES.values() if column in table.columns]
        gone = f"key NOT IN ({_all(column, tables)})"
        if column == "client_id":
            gone = "key IN (SELECT client_id FROM forgotten_key)"
        connection.execute(
            f"ALTER TABLE {column}_key ALTER id DROP NOT NULL;"
            f"UPDATE {column}_key SET id = NULL WHERE id IS NOT NULL AND {gone}"
        )


def _all(column: str, tables: Iterable[str]) -> str:
    return " UNION ".join(
        f"SELECT {column} FROM {table} WHERE {column} IS NOT NULL" for table in tables
    )
