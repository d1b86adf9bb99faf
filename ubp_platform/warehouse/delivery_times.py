"""When events and batches became known: how late they are, and up to when the log is complete."""

import warnings
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import duckdb

from ubp_platform.errors import UBPError
from ubp_platform.events.schema import EVENT_TYPES, EVENTS
from ubp_platform.times import aware_utc, literal, naive_utc
from ubp_platform.warehouse.connection import database_name


@dataclass(frozen=True)
class Known:
    """What belongs to a history, of all that has happened before its cutoff; by default all.

    Parameters
    ----------
    delivered_before : datetime, optional
        Aware; leave out what was delivered at this instant or later.
    landed_before : datetime, optional
        Aware; leave out what landed at this instant or later. It differs from the first one for
        what was loaded later than it was delivered.
    """

    delivered_before: datetime | None = None
    landed_before: datetime | None = None

    @classmethod
    def at(cls, cutoff: datetime, as_delivered: bool) -> "Known":
        """Return what belongs to a history of a cutoff: all, or what had been delivered by it."""
        return cls(delivered_before=cutoff) if as_delivered else EVERYTHING

    def of_batches(self, database: str) -> str:
        """Return the SQL condition that a row's batch is known."""
        times = {"delivered_at": self.delivered_before, "landed_at": self.landed_before}
        known = [f"{name} < {literal(time)}" for name, time in times.items() if time]
        if not known:
            return "true"
        batches = f'SELECT batch_id FROM "{database}".main.batch WHERE {" AND ".join(known)}'
        return f"batch_id IN ({batches})"

    def of_events(self, database: str) -> str:
        """Return the SQL condition that an event is known, which may say so itself."""
        if not self.delivered_before:
            return self.of_batches(database)
        landed = Known(landed_before=self.landed_before).of_batches(database)
        return f"""CASE WHEN delivered_at IS NULL THEN {self.of_batches(database)}
                        ELSE delivered_at < {literal(self.delivered_before)} AND {landed} END"""


#: All that has landed by now.
EVERYTHING = Known()

_TRUE_TIME = (
    "What was loaded later than it was delivered can be landed with its true time: `ubp ingest "
    "--replace BATCH --delivered-at TIME`"
)
_EVENT_FILES = "batch_file WHERE table_name <> 'product_properties'"


def complete(connection: duckdb.DuckDBPyConnection) -> None:
    """Note up to when the log is complete, of batches that do not say so themselves.

    That is the midnight after the batch's last event, if the batch was delivered after it; else the
    last midnight before it was delivered.
    """
    connection.execute(
        """UPDATE batch SET complete_until = CASE WHEN delivered_at >= next_day THEN next_day
                                                  ELSE date_trunc('day', delivered_at) END
           FROM (SELECT batch_id, date_trunc('day', max(last_event)) + INTERVAL 1 DAY AS next_day
                 FROM batch_file WHERE table_name <> 'product_properties' AND rows_landed > 0
                 GROUP BY batch_id) AS events
           WHERE batch.batch_id = events.batch_id AND complete_until IS NULL"""
    )


def complete_until(connection: duckdb.DuckDBPyConnection, last: datetime) -> datetime:
    """Return the newest instant up to which the log is complete: the default cutoff.

    Parameters
    ----------
    connection : DuckDBPyConnection
    last : datetime
        The time of the last event.
    """
    midnight = last.replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1)
    return _time(connection, "SELECT max(complete_until) FROM batch") or midnight


def last_event(connection: duckdb.DuckDBPyConnection, batch: int) -> datetime | None:
    """Return the time of a batch's last event that landed, if there is one."""
    return _time(
        connection, f"SELECT max(last_event) FROM {_EVENT_FILES} AND batch_id = ?", [batch]
    )


def impossible(
    connection: duckdb.DuckDBPyConnection, batch: int | None
) -> list[tuple[str, int, int]]:
    """Count a batch's events that claim to be delivered before they happened, or in the future.

    Returns
    -------
    list of (str, int, int)
        By table; those without such events are left out.
    """
    parts = " UNION ALL ".join(
        f"""SELECT '{table.name}' AS name, count(*) FILTER (delivered_at < timestamp) AS early,
                   count(*) FILTER (delivered_at > $now) AS late
            FROM {table.name} WHERE batch_id = $batch"""
        for table in EVENTS
    )
    return connection.execute(
        f"FROM ({parts}) WHERE early + late > 0",
        {"batch": batch, "now": naive_utc(datetime.now(UTC))},
    ).fetchall()


def newest_known(connection: duckdb.DuckDBPyConnection) -> datetime | None:
    """Return the time of the last event; what claims to be from after its delivery is left out."""
    return _time(connection, f"SELECT max(least(last_event, last_delivered)) FROM {_EVENT_FILES}")


def landing_times(connection: duckdb.DuckDBPyConnection) -> list[datetime]:
    """Return the times at which batches landed, the newest first."""
    rows = connection.execute("SELECT DISTINCT landed_at FROM batch ORDER BY landed_at DESC")
    return [time.replace(tzinfo=UTC) for (time,) in rows.fetchall()]


def require_delivered(connection: duckdb.DuckDBPyConnection, cutoff: datetime) -> None:
    """Check that events and products had been delivered at a cutoff.

    Warns
    -----
    UserWarning
        If less than half of the events before the cutoff had.

    Raises
    ------
    UBPError
        If no event, or no product, had, as far as the ledger knows.
    """
    database = database_name(connection)
    known, at = Known(cutoff), f"{cutoff:%Y-%m-%d %H:%M}"
    happened = f"timestamp < {literal(cutoff)}"
    parts = " UNION ALL ".join(
        f"SELECT timestamp, {known.of_events(database)} AS delivered FROM {name} WHERE {happened}"
        for name in EVENT_TYPES
    )
    events, delivered, last = connection.execute(
        f"""SELECT count(*), count(*) FILTER (delivered), max(timestamp) FILTER (delivered)
            FROM ({parts})"""
    ).fetchall()[0]
    if not delivered:
        raise UBPError(f"nothing had been delivered at {at}. {_TRUE_TIME}")
    products, of_them = connection.execute(
        f"""SELECT count(*), count(*) FILTER ({known.of_batches(database)})
            FROM product_properties WHERE valid_from IS NULL OR valid_from < {literal(cutoff)}"""
    ).fetchall()[0]
    if products and not of_them:
        raise UBPError(f"no properties of products had been delivered at {at}. {_TRUE_TIME}")
    if delivered < events / 2:
        warnings.warn(
            f"only {delivered:,} of {events:,} events before {at} had been delivered then, the "
            f"last of them from {last:%Y-%m-%d %H:%M}; the others are left out. {_TRUE_TIME}",
            stacklevel=3,
        )


def lateness(connection: duckdb.DuckDBPyConnection) -> tuple[float, float] | None:
    """Return how late events are delivered, in hours: the median and the 99th percentile.

    Without the batch of the oldest event, which often holds a history; None if there is no other.
    """
    events = " UNION ALL ".join(
        f"SELECT batch_id, timestamp, delivered_at AS own FROM {table.name}" for table in EVENTS
    )
    rows = connection.execute(
        f"""WITH late AS (
                SELECT date_diff('minute', timestamp, coalesce(own, delivered_at)) AS minutes,
                       count(*) AS events
                FROM ({events}) JOIN batch USING (batch_id)
                WHERE batch_id <> (SELECT arg_min(batch_id, first_event) FROM {_EVENT_FILES})
                GROUP BY minutes),
            counted AS (
                SELECT minutes, sum(events) OVER (ORDER BY minutes) / sum(events) OVER () AS share
                FROM late)
            SELECT min(minutes) FILTER (share >= 0.5), min(minutes) FILTER (share >= 0.99)
            FROM counted"""
    ).fetchall()
    median, most = rows[0]
    return None if median is None else (median / 60, most / 60)


def _time(
    connection: duckdb.DuckDBPyConnection, query: str, values: list[Any] | None = None
) -> datetime | None:
    return aware_utc(connection.execute(query, values or []).fetchall()[0][0])
