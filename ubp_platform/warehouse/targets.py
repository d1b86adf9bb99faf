"""Events after a cutoff: labels for downstream models, never the input of a block."""

from datetime import datetime, timedelta

import numpy as np
import pyarrow as pa

from ubp_platform.events.schema import EVENT_TYPES, PRODUCT_EVENTS
from ubp_platform.times import aware_utc, naive_utc
from ubp_platform.warehouse import products
from ubp_platform.warehouse.connection import database_name
from ubp_platform.warehouse.delivery_times import EVERYTHING, Known
from ubp_platform.warehouse.views import known_before
from ubp_platform.warehouse.warehouse import Warehouse


def churn(warehouse: Warehouse, cutoff: datetime, days: int) -> pa.Table:
    """Label the clients who bought before a cutoff by whether they buy in the days after it.

    Returns
    -------
    pyarrow.Table
        ``client_id``, ``event_timestamp`` (the cutoff), ``churned``, and for comparison
        ``recency`` (days from the last purchase to the cutoff) and ``frequency`` (the number of
        purchases before it).

    Notes
    -----
    The definition of the task ``churn`` of RecSys Challenge 2025 (paper, section 2).
    """
    start, before = naive_utc(cutoff), known_before("$start")
    return warehouse.connection.execute(
        f"""SELECT client_id,
                  timezone('UTC', $start::TIMESTAMP) AS event_timestamp,
                  NOT coalesce(bool_or(timestamp >= $start), false) AS churned,
                  epoch($start - max(timestamp) FILTER ({before})) / 86400 AS recency,
                  count(*) FILTER ({before}) AS frequency
           FROM product_buy WHERE timestamp < $end
           GROUP BY client_id HAVING frequency > 0 ORDER BY client_id""",
        {"start": start, "end": start + timedelta(days=days)},
    ).to_arrow_table()


def last_purchase(warehouse: Warehouse) -> datetime | None:
    """Return the time of the last purchase, aware, if there is one."""
    query = "SELECT max(timestamp) FROM product_buy"
    return aware_utc(warehouse.connection.execute(query).fetchall()[0][0])


def clients(warehouse: Warehouse, before: datetime, known: Known = EVERYTHING) -> np.ndarray:
    """Return all clients with a known event before a time, int64, ascending."""
    visible = _visible(warehouse, known)
    parts = " UNION ".join(f"SELECT client_id FROM {name} WHERE {visible}" for name in EVENT_TYPES)
    return _ascending(warehouse, f"SELECT client_id AS value FROM ({parts})", before)


def buyers(warehouse: Warehouse, before: datetime, known: Known = EVERYTHING) -> np.ndarray:
    """Return all clients with a known purchase before a time, int64, ascending."""
    visible = _visible(warehouse, known)
    query = f"SELECT DISTINCT client_id AS value FROM product_buy WHERE {visible}"
    return _ascending(warehouse, query, before)


def touched_skus(warehouse: Warehouse, before: datetime, known: Known = EVERYTHING) -> np.ndarray:
    """Return all products known to be bought, added or removed before a time, int64, ascending."""
    visible = _visible(warehouse, known)
    parts = " UNION ".join(f"SELECT sku FROM {name} WHERE {visible}" for name in PRODUCT_EVENTS)
    return _ascending(warehouse, f"SELECT sku AS value FROM ({parts})", before)


def purchases(warehouse: Warehouse, start: datetime, end: datetime) -> pa.Table:
    """Count what each client bought from ``start`` to before ``end``.

    Returns
    -------
    pyarrow.Table
        One row per client and product: ``client_id``, ``sku``, ``category``, ``price`` (both as of
        the last of these purchases, null for a product without properties) and ``purchases``, their
        number.
    """
    return (
        warehouse.connection.sql(
            f"""SELECT client_id, sku, arg_max(category, timestamp) AS category,
                       arg_max(price, timestamp) AS price, count(*) AS purchases
                FROM (SELECT client_id, sku, timestamp, timestamp AS since FROM product_buy
                      WHERE timestamp >= $start AND timestamp < $end)
                ASOF LEFT JOIN {products.OVER_TIME} USING (sku, since)
                GROUP BY client_id, sku ORDER BY client_id, sku""",
            params={"start": naive_utc(start), "end": naive_utc(end)},
        )
        .to_arrow_table()
        .combine_chunks()
    )


def _visible(warehouse: Warehouse, known: Known) -> str:
    """Return the condition that an event before the parameter ``before`` was known."""
    database = database_name(warehouse.connection)
    return f"{known_before('$before')} AND {known.of_events(database)}"


def _ascending(warehouse: Warehouse, query: str, before: datetime) -> np.ndarray:
    found = warehouse.connection.execute(
        f"SELECT value FROM ({query}) ORDER BY value", {"before": naive_utc(before)}
    ).fetchnumpy()
    return np.asarray(found["value"], dtype=np.int64)
