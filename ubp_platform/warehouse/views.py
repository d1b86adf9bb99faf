"""What a connection can see: every event table up to a cutoff, and the same of some clients.

The cutoff is applied in one place. A temporary view over every event table, under the table's own
name, ends at the cutoff; all queries of a history and of ``sql/`` read through these views, so that
a later row cannot be named, let alone read.
"""

from datetime import datetime

import duckdb
import numpy as np
import pyarrow as pa

from ubp_platform.events.schema import EVENT_CODES, EVENT_TYPES, EVENTS, PRODUCT_EVENTS

MICROSECONDS_PER_DAY = 86_400_000_000
# What the views say of an event's details: the cents paid for all its pieces, where the log has a
# price, and how many these are, in thousandths. Whole numbers add up to the same in any order.
_TOLD = {
    "price": "round(100 * price * coalesce(quantity, 1))::BIGINT AS paid",
    "quantity": "round(1000 * coalesce(quantity, 1))::BIGINT AS thousandths",
    "words": "words",
}


def create_views(
    connection: duckdb.DuckDBPyConnection,
    cutoff: datetime,
    clients: np.ndarray | None,
    start: datetime | None = None,
) -> None:
    """Let a connection see the events before a cutoff, and no others.

    Parameters
    ----------
    connection : DuckDBPyConnection
        Of a history alone.
    cutoff : datetime
        In UTC; the first instant that is not seen.
    clients : ndarray of int64, optional
        As in :func:`show_relevant`.
    start : datetime, optional
        In UTC; the first instant that is seen. All before the cutoff by default.
    """
    run = connection.execute
    run("SET TimeZone = 'UTC'")
    end = _literal(cutoff)
    # What a login tells of the time before it is known from the login on.
    seen = f"timestamp < {end} AND (known_from IS NULL OR known_from < {end})"
    seen += f" AND timestamp >= {_literal(start)}" if start else ""
    database = run("SELECT current_database()").fetchall()[0][0]
    for event in EVENTS:
        columns = ", ".join(
            [*event.columns, *(told for name, told in _TOLD.items() if name in event.details)]
        )
        run(f"""CREATE OR REPLACE TEMP VIEW {event.name} AS
                SELECT {columns} FROM "{database}".main.{event.name} WHERE {seen}""")
    show_relevant(connection, clients)
    # Whole numbers add up to the same in whatever order; a bucket counts as so much money.
    cents = "coalesce((100 * p.money)::BIGINT, 100 * p.price) AS cents"
    run(
        f"""CREATE OR REPLACE TEMP VIEW product_cents AS
            SELECT sku, {cents} FROM product_properties p"""
    )
    for column in ("sku", "category", "url"):
        run(f"""CREATE OR REPLACE TEMP VIEW {column}_id AS
                SELECT key AS {column}, id FROM "{database}".main.{column}_key""")
    run(f"CREATE OR REPLACE TEMP VIEW cutoff AS SELECT {end} AS cutoff")
    for prefix in ("", "relevant_"):
        parts = " UNION ALL ".join(_as_event(prefix, name) for name in EVENT_TYPES)
        run(f"""CREATE OR REPLACE TEMP VIEW {prefix}event AS
                SELECT e.*, p.category, p.price, {cents},
                       (epoch_us({end}) - 1 - epoch_us(timestamp)) // {MICROSECONDS_PER_DAY} AS day
                FROM ({parts}) e LEFT JOIN product_properties p USING (sku)""")


def show_relevant(connection: duckdb.DuckDBPyConnection, clients: np.ndarray | None) -> None:
    """Let the views ``relevant_…`` show some clients' events.

    Parameters
    ----------
    connection : DuckDBPyConnection
    clients : ndarray of int64, optional
        Ascending; all by default.
    """
    where = ""
    if clients is not None:
        connection.register("shown_client", pa.table({"client_id": clients}))
        where = "SEMI JOIN shown_client USING (client_id)"
        if len(clients):
            # Tables are sorted by client: what lies outside is not even read.
            where += f" WHERE client_id BETWEEN {clients[0]} AND {clients[-1]}"
    for event in EVENTS:
        connection.execute(
            f"""CREATE OR REPLACE TEMP VIEW relevant_{event.name} AS
                SELECT * FROM {event.name} {where}"""
        )


def _literal(time: datetime) -> str:
    return f"TIMESTAMP '{time:%Y-%m-%d %H:%M:%S.%f}'"


def _as_event(prefix: str, name: str) -> str:
    sku = "sku" if name in PRODUCT_EVENTS else "NULL::BIGINT"
    url = "url" if name == "page_visit" else "NULL::BIGINT"
    sale = (
        "paid, thousandths" if sku == "sku" else "NULL::BIGINT AS paid, NULL::BIGINT AS thousandths"
    )
    query = "query, words" if name == "search_query" else "NULL::UTINYINT[] AS query, NULL AS words"
    return f"""SELECT client_id, timestamp, {EVENT_CODES[name]}::TINYINT AS event_type,
                      {sku} AS sku, {url} AS url, {sale}, {query}
               FROM {prefix}{name}"""
