"""What happened after a cutoff: labels for downstream models, never input of a block."""

from datetime import UTC, datetime, timedelta

import pyarrow as pa

from ubp_platform.warehouse.warehouse import Warehouse


def churn(warehouse: Warehouse, cutoff: datetime, days: int) -> pa.Table:
    """Tell which clients who bought before a cutoff buy nothing in the days from it.

    Parameters
    ----------
    warehouse : Warehouse
    cutoff : datetime
    days : int
        Length of the window that starts at the cutoff.

    Returns
    -------
    pyarrow.Table
        ``client_id``, ``event_timestamp`` (the cutoff), ``churned``, and for comparison
        ``recency`` (days since the last purchase) and ``frequency`` (purchases so far), both
        before the cutoff.

    Notes
    -----
    The definition of the task ``churn`` of RecSys Challenge 2025 (paper, section 2).
    """
    start = cutoff.astimezone(UTC).replace(tzinfo=None)
    return warehouse.connection.execute(
        """SELECT client_id,
                  timezone('UTC', $start::TIMESTAMP) AS event_timestamp,
                  NOT coalesce(bool_or(timestamp >= $start), false) AS churned,
                  epoch($start - max(timestamp) FILTER (timestamp < $start)) / 86400 AS recency,
                  count(*) FILTER (timestamp < $start) AS frequency
           FROM product_buy WHERE timestamp < $end
           GROUP BY client_id HAVING frequency > 0 ORDER BY client_id""",
        {"start": start, "end": start + timedelta(days=days)},
    ).to_arrow_table()
