"""Product properties over time: what was delivered, from when it holds, what held at a time.

The table ``product_properties`` keeps every row that says something new of a product.
``valid_from`` is the time from which it holds: as delivered, or else when it was delivered. The
first delivery of properties holds from the beginning, where it does not say otherwise: nothing
earlier is known. That is the one that was delivered first, also if it landed later than others.
"""

from datetime import datetime

import duckdb

from ubp_platform.events.schema import PRODUCTS
from ubp_platform.times import naive_utc

# All columns but the time; of two rows from the same time on, the one delivered later counts.
_COLUMNS = ", ".join(name for name in PRODUCTS.stored if name != "valid_from")


def land(connection: duckdb.DuckDBPyConnection, batch: int, delivered_at: datetime) -> int:
    """Add the rows of the view ``valued`` that say something new; return their number.

    Parameters
    ----------
    connection : DuckDBPyConnection
    batch : int
    delivered_at : datetime
        From which rows without a time of their own hold, unless they are the first.
    """
    _begin_later(connection, delivered_at)
    columns = ", ".join(PRODUCTS.stored)
    typed = ", ".join(
        f"{name}::{kind} AS {name}"
        for name, kind in PRODUCTS.stored.items()
        if name != "valid_from"
    )
    connection.execute(
        f"""CREATE OR REPLACE TEMP TABLE new_product AS
            WITH start AS (
                SELECT CASE WHEN EXISTS (FROM product_properties JOIN batch USING (batch_id)
                                         WHERE delivered_at <= $delivered)
                            THEN $delivered::TIMESTAMP END AS default_start),
            delivered_product AS (
                SELECT {typed}, coalesce(valid_from, default_start) AS valid_from
                FROM valued, start
                QUALIFY row_number() OVER (
                    PARTITION BY sku, coalesce(valid_from, default_start)
                    ORDER BY row_number DESC) = 1),
            together AS (
                SELECT {columns}, $batch AS batch_id, true AS is_new FROM delivered_product
                UNION ALL BY NAME
                SELECT {columns}, batch_id, false AS is_new
                FROM product_properties SEMI JOIN delivered_product USING (sku)),
            compared AS (
                SELECT *, row({_COLUMNS}) IS NOT DISTINCT FROM
                          lag(row({_COLUMNS})) OVER (
                              PARTITION BY sku ORDER BY valid_from NULLS FIRST, batch_id) AS same
                FROM together)
            SELECT {columns} FROM compared WHERE is_new AND NOT same""",
        {"batch": batch, "delivered": naive_utc(delivered_at)},
    )
    inserted = connection.execute(
        f"""INSERT INTO product_properties ({columns}, batch_id)
            SELECT {columns}, ? FROM new_product ORDER BY sku, valid_from NULLS FIRST""",
        [batch],
    ).fetchall()
    connection.execute("DROP TABLE new_product")
    return int(inserted[0][0])


def _begin_later(connection: duckdb.DuckDBPyConnection, delivered_at: datetime) -> None:
    """Let properties hold from their delivery on, of products that an earlier delivery has, too."""
    rows = connection.execute(
        """UPDATE product_properties SET valid_from = batch.delivered_at FROM batch
           WHERE batch.batch_id = product_properties.batch_id AND valid_from IS NULL
                 AND batch.delivered_at > $delivered AND sku IN (SELECT sku FROM valued)""",
        {"delivered": naive_utc(delivered_at)},
    ).fetchall()
    if rows[0][0]:
        connection.execute(
            """UPDATE batch_file SET first_event = first, last_event = last
               FROM (SELECT batch_id, max(valid_from) AS last,
                            CASE WHEN count(*) = count(valid_from) THEN min(valid_from) END AS first
                     FROM product_properties GROUP BY batch_id) AS held
               WHERE held.batch_id = batch_file.batch_id AND table_name = 'product_properties'"""
        )


def create_view(
    connection: duckdb.DuckDBPyConnection, database: str, cutoff: str, delivered: str
) -> None:
    """Create ``product_properties`` of a history: one row for each product, as of the cutoff.

    Parameters
    ----------
    connection : DuckDBPyConnection
        Used by one history only.
    database : str
    cutoff : str
        An SQL expression; the first instant that is excluded.
    delivered : str
        An SQL condition that a row had been delivered.
    """
    table = f'"{database}".main.product_properties'
    # Without later changes each product has one row, and needs no sorting.
    changes = connection.execute(f"SELECT count(valid_from) FROM {table}").fetchall()[0][0]
    if not changes:
        connection.execute(
            f"""CREATE OR REPLACE TEMP VIEW product_properties AS
                SELECT {_COLUMNS} FROM {table} WHERE {delivered}"""
        )
        return
    connection.execute(
        f"""CREATE OR REPLACE TEMP TABLE product_properties AS
            SELECT {_COLUMNS} FROM {table}
            WHERE (valid_from IS NULL OR valid_from < {cutoff}) AND {delivered}
            QUALIFY row_number() OVER (
                PARTITION BY sku ORDER BY valid_from DESC NULLS LAST, batch_id DESC) = 1
            ORDER BY sku"""
    )


#: A subquery of the properties over time, to be joined by ``ASOF … time >= since``.
OVER_TIME = f"""(SELECT {_COLUMNS}, coalesce(valid_from, '-infinity'::TIMESTAMP) AS since
                 FROM product_properties
                 QUALIFY row_number() OVER (PARTITION BY sku, valid_from ORDER BY batch_id DESC) = 1
                )"""
