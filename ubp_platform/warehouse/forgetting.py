"""Removing clients from the warehouse.

The keys of text ids stay given, so that no other id ever gets them; what they stood for is gone.
What is removed leaves its bytes in free blocks of DuckDB's file, until that is written anew by
:meth:`~ubp_platform.warehouse.warehouse.Warehouse.rewrite`.
"""

from collections.abc import Sequence

import duckdb
import numpy as np
import pyarrow as pa

from ubp_platform.events.schema import EVENTS, ID_COLUMNS, PRODUCT_EVENTS, PRODUCTS, TABLES
from ubp_platform.warehouse import identifiers, values

# Around an id in a line.
_EDGE = r"(^|[^\pL\pN_]|$)"
# A whole number as it may be delivered: with a sign, leading zeros, or a fraction of zeros.
_WHOLE = r"^\+?(-?)0*([0-9]+)(\.0*)?$"


def keys_of(connection: duckdb.DuckDBPyConnection, client_ids: Sequence[str]) -> np.ndarray:
    """Return the keys of those clients whom the warehouse knows: int64.

    Parameters
    ----------
    connection : DuckDBPyConnection
    client_ids : sequence of str
        As the shop writes them.

    Raises
    ------
    UBPError
        If the shop's ids are whole numbers, and one is none.
    """
    if not len(client_ids) or "client_id" not in identifiers.kinds(connection):
        return np.empty(0, np.int64)  # nothing has landed
    translation = identifiers.Identifiers(connection, "client_id")
    keys = translation.keys(np.unique(translation.require(np.array(client_ids))))
    return keys[keys >= 0] if translation.is_text else keys


def known(connection: duckdb.DuckDBPyConnection, client_ids: Sequence[str]) -> list[str]:
    """Return those of some clients of whom there is an event, or a text id."""
    keys = keys_of(connection, client_ids)
    translation = identifiers.Identifiers(connection, "client_id")
    found = keys if translation.is_text else first_events(connection, keys)[0]
    return [str(one) for one in translation.ids(found).tolist()]


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
    connection: duckdb.DuckDBPyConnection, keys: np.ndarray, client_ids: Sequence[str]
) -> dict[str, int]:
    """Remove clients: called inside a transaction; doing it twice is as good as once.

    Parameters
    ----------
    connection : DuckDBPyConnection
    keys : ndarray of int64
        As of :func:`keys_of`.
    client_ids : sequence of str
        As the shop writes them.

    Returns
    -------
    dict of str to int
        The number of rows that each table lost, if any.
    """
    connection.register("forgotten_key", pa.table({"client_id": pa.array(keys, pa.int64())}))
    _remember(connection)
    lost = {table.name: _delete(connection, table.name) for table in EVENTS}
    lost[PRODUCTS.name] = _remove_products(connection)
    lost["quarantine"] = _remove_quarantined(connection, client_ids)
    listed = "FROM duckdb_tables() WHERE table_name = 'relevant_client'"
    if connection.execute(listed).fetchall():
        _delete(connection, "relevant_client")
    _blur_times(connection)
    _forget_ids(connection)
    values.forget_texts(connection)
    connection.unregister("forgotten_key")
    for name in ("touched", "shortened", *(f"named_{column}" for column in ID_COLUMNS)):
        connection.execute(f"DROP TABLE {name}")
    return {table: rows for table, rows in lost.items() if rows}


def _remember(connection: duckdb.DuckDBPyConnection) -> None:
    """Keep what the clients' events name in temporary tables.

    ``touched``: their products, with the times and the batches of the events; ``shortened``: the
    files that lose events; ``named_sku``, …: the keys of ids.
    """
    own = "SEMI JOIN forgotten_key USING (client_id)"
    products = [f"SELECT sku, timestamp, batch_id FROM {name} {own}" for name in PRODUCT_EVENTS]
    products.append(f"SELECT sku, timestamp, batch_id FROM ({_viewed('page_visit ' + own)})")
    files = [
        f"SELECT DISTINCT batch_id, '{one.name}' AS table_name FROM {one.name} {own}"
        for one in EVENTS
    ]
    tables = {"touched": " UNION ".join(products), "shortened": " UNION ALL ".join(files)}
    for column in ID_COLUMNS:
        named = " UNION ".join(
            f"SELECT {column} AS key FROM {one.name} {own}"
            for one in EVENTS
            if column in one.columns
        )
        tables[f"named_{column}"] = named or "SELECT NULL::BIGINT AS key WHERE false"
    tables["named_client_id"] = "SELECT client_id AS key FROM forgotten_key"
    # The category and others of a product that goes.
    of_products = f"FROM {PRODUCTS.name} SEMI JOIN touched USING (sku)"
    tables["named_category"] = f"SELECT category AS key {of_products}"
    for name, query in tables.items():
        connection.execute(f"CREATE OR REPLACE TEMP TABLE {name} AS {query}")


def _viewed(visits: str) -> str:
    """Select visits of pages that are called like a product, as in logs without URLs, as its."""
    return f"""SELECT visit.*, sku.key AS sku FROM (FROM {visits}) AS visit
               JOIN url_key AS url ON visit.url = url.key JOIN sku_key AS sku ON url.id = sku.id
               UNION ALL
               SELECT visit.*, visit.url AS sku FROM (FROM {visits}) AS visit
               WHERE NOT EXISTS (FROM url_key) AND NOT EXISTS (FROM sku_key)"""


def _delete(connection: duckdb.DuckDBPyConnection, table: str) -> int:
    query = f"DELETE FROM {table} WHERE client_id IN (SELECT client_id FROM forgotten_key)"
    return int(connection.execute(query).fetchall()[0][0])


def _remove_products(connection: duckdb.DuckDBPyConnection) -> int:
    """Remove what a layout made of the clients' events of products that nobody else touched."""
    others = [f"SELECT sku FROM {name}" for name in PRODUCT_EVENTS]
    others.append(f"SELECT sku FROM ({_viewed('page_visit')})")
    return int(
        connection.execute(
            f"""DELETE FROM {PRODUCTS.name} AS product
                WHERE EXISTS (FROM touched WHERE touched.sku = product.sku
                              AND touched.batch_id = product.batch_id
                              AND touched.timestamp = product.valid_from)
                      AND product.sku NOT IN ({" UNION ".join(others)})"""
        ).fetchall()[0][0]
    )


def _remove_quarantined(connection: duckdb.DuckDBPyConnection, client_ids: Sequence[str]) -> int:
    """Remove the quarantined rows of clients.

    Of a row the column ``client_id`` counts, and any other that holds an id that is no number; of a
    line that is not a row, any value.
    """
    connection.register("forgotten_id", pa.table({"id": pa.array(client_ids, pa.string())}))
    number = f"regexp_replace(text, '{_WHOLE}', '\\1\\2')"
    if identifiers.Identifiers(connection, "client_id").is_text:
        number = "text"
    found = connection.execute(
        f"""DELETE FROM quarantine WHERE rowid IN (
                WITH field AS (
                    SELECT quarantine.rowid AS row, lower(field.key) = 'client_id' AS is_client,
                           trim(field.value ->> '$') AS text
                    FROM quarantine, json_each(original) AS field
                    WHERE json_type(original) = 'OBJECT'),
                line AS (
                    SELECT rowid AS row, original ->> '$' AS text FROM quarantine
                    WHERE json_type(original) = 'VARCHAR')
                SELECT row FROM field JOIN forgotten_id ON {number} = id
                WHERE is_client OR NOT regexp_full_match(id, '[0-9]+')
                UNION
                SELECT row FROM line JOIN forgotten_id
                ON contains(text, id) OR contains(text, replace(id, '"', '""'))
                WHERE regexp_matches(replace(text, '""', '"'),
                                     '{_EDGE}' || regexp_escape(id) || '{_EDGE}'))"""
    ).fetchall()
    connection.unregister("forgotten_id")
    return int(found[0][0])


def _blur_times(connection: duckdb.DuckDBPyConnection) -> None:
    """Leave in the ledger no more than the day of a first or last event that was a client's.

    A history that ends at a midnight has the same identity as before.
    """
    left = " UNION ALL ".join(
        f"""SELECT batch_id, '{table.name}' AS table_name, min(timestamp) AS first_event,
                   max(timestamp) AS last_event,
                   min(coalesce(event.delivered_at, batch.delivered_at)) AS first_delivered,
                   max(coalesce(event.delivered_at, batch.delivered_at)) AS last_delivered
            FROM {table.name} AS event JOIN batch USING (batch_id) GROUP BY batch_id"""
        for table in EVENTS
    )
    day = {
        "first": "date_trunc('day', f.{name})",
        "last": "date_trunc('day', f.{name}) + INTERVAL 1 DAY - INTERVAL 1 MICROSECOND",
    }
    new = ", ".join(
        f"{name} = CASE WHEN f.{name} = n.{name} THEN f.{name} "
        f"ELSE {day[name.split('_')[0]].format(name=name)} END"
        for name in ("first_event", "last_event", "first_delivered", "last_delivered")
    )
    connection.execute(
        f"""UPDATE batch_file AS f SET {new}
            FROM (FROM shortened LEFT JOIN ({left}) USING (batch_id, table_name)) AS n
            WHERE f.batch_id = n.batch_id AND f.table_name = n.table_name"""
    )


def _forget_ids(connection: duckdb.DuckDBPyConnection) -> None:
    """Remove the text ids that the clients' events named and that are in no table any more."""
    for column in ID_COLUMNS:
        left = " UNION ".join(
            f"SELECT {column} FROM {table.name} WHERE {column} IS NOT NULL"
            for table in TABLES.values()
            if column in table.columns
        )
        connection.execute(
            f"""ALTER TABLE {column}_key ALTER id DROP NOT NULL;
                UPDATE {column}_key SET id = NULL
                WHERE id IS NOT NULL AND key IN (FROM named_{column}) AND key NOT IN ({left})"""
        )
