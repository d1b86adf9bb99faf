"""The views of a history: every event table up to a cutoff, and the events of relevant clients.

A temporary view over every event table, under the table's own name, ends at the cutoff. All queries
of a history and in ``sql/`` read through these views, so that no query can name a later row. What
reads the tables themselves, such as an export, uses :func:`known_before`.
"""

from datetime import datetime

import duckdb
import numpy as np
import pyarrow as pa

from ubp_platform.events.schema import EVENT_CODES, EVENT_TYPES, EVENTS, PRODUCT_EVENTS
from ubp_platform.times import literal
from ubp_platform.warehouse import products
from ubp_platform.warehouse.connection import database_name
from ubp_platform.warehouse.delivery_times import EVERYTHING, Known

MICROSECONDS_PER_DAY = 86_400_000_000
# The columns of the views that are derived from an event's details: the cents paid for all pieces,
# if the log has a price, and the number of pieces in thousandths. Integers, because their sum does
# not depend on the order.
_DERIVED = {
    "price": "round(100 * price * coalesce(quantity, 1))::BIGINT AS paid",
    "quantity": "round(1000 * coalesce(quantity, 1))::BIGINT AS thousandths",
    "words": "words",
}


def known_before(time: str) -> str:
    """Return the SQL condition that an event, and whose it is, was known before a time.

    Parameters
    ----------
    time : str
        An SQL expression.
    """
    # Who acted before a login is known only from the login on.
    return f"timestamp < {time} AND (known_from IS NULL OR known_from < {time})"


def create_views(
    connection: duckdb.DuckDBPyConnection,
    cutoff: datetime,
    clients: np.ndarray | None,
    start: datetime | None = None,
    known: Known = EVERYTHING,
) -> None:
    """Create the views of the events before a cutoff, and of the products as of it.

    Parameters
    ----------
    connection : DuckDBPyConnection
        Used by one history only.
    cutoff, start : datetime
        In UTC; the first instant that is excluded, and the first one that is included (by default
        that of the first event).
    clients : ndarray of int64, optional
        Ascending; all by default.
    known : Known
        What belongs to the history besides.
    """
    run = connection.execute
    run("SET TimeZone = 'UTC'")
    database = database_name(connection)
    end = literal(cutoff)
    visible = f"{known_before(end)} AND {known.of_events(database)}"
    visible += f" AND timestamp >= {literal(start)}" if start else ""
    for event in EVENTS:
        columns = ", ".join(
            [
                *event.columns,
                *(derived for name, derived in _DERIVED.items() if name in event.details),
            ]
        )
        run(f"""CREATE OR REPLACE TEMP VIEW {event.name} AS
                SELECT {columns} FROM "{database}".main.{event.name} WHERE {visible}""")
    select_relevant(connection, clients)
    products.create_view(connection, database, end, known.of_batches(database))
    # Integers, as above; a bucket counts as an amount of money.
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


def select_relevant(connection: duckdb.DuckDBPyConnection, clients: np.ndarray | None) -> None:
    """Restrict the views ``relevant_…`` to some clients, ascending; all by default."""
    where = ""
    if clients is not None:
        connection.register("selected_client", pa.table({"client_id": clients}))
        where = "SEMI JOIN selected_client USING (client_id)"
        if len(clients):
            # Tables are sorted by client, so that DuckDB skips everything outside this range.
            where += f" WHERE client_id BETWEEN {clients[0]} AND {clients[-1]}"
    for event in EVENTS:
        connection.execute(
            f"""CREATE OR REPLACE TEMP VIEW relevant_{event.name} AS
                SELECT * FROM {event.name} {where}"""
        )


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
