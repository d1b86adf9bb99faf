"""Writing a checked batch: events, product properties, quarantine.

Everything here runs inside one transaction of the caller.

Two events are the same if they agree in all columns *and* in their number among equal rows: the
second of two equal rows in one delivery is the same event as the second of two equal rows in
another. So a client may do the same thing twice within a second, and yet overlapping deliveries add
nothing.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

import duckdb
import numpy as np

from ubp_platform.events.schema import PRODUCTS, TABLES, Table
from ubp_platform.times import naive_utc
from ubp_platform.warehouse import identifiers, products, values
from ubp_platform.warehouse.scan import Scan
from ubp_platform.warehouse.staged import CSV_RULE, RejectedLine

# New rows that are compared with earlier ones: at most, at least, and the seconds by which a wrong
# zone shifts times. A whole day is no zone: clients come again the next day.
_COMPARED, _FEWEST, _SHIFT = 10_000, 20, 14 * 3600


@dataclass(frozen=True)
class BadRows:
    """Rows of one delivered table that break rules.

    Parameters
    ----------
    row_numbers : ndarray of int64, shape (n,)
        Ascending, from 1; the header of a CSV file does not count.
    rules : ndarray of object (str), shape (n,)
        The descriptions of the rules that each row breaks.
    lines : list of RejectedLine
        Lines of CSV files that are not rows.
    """

    row_numbers: np.ndarray
    rules: np.ndarray
    lines: Sequence[RejectedLine]

    @property
    def count(self) -> int:
        """The number of rows and lines together."""
        return len(self.row_numbers) + len(self.lines)


@dataclass(frozen=True)
class Landed:
    """The rows of one delivered table, counted by outcome; ``repeated`` ones landed as well."""

    table: str
    file: str
    read: int
    landed: int
    known: int
    quarantined: int
    repeated: int = 0


def land_table(
    connection: duckdb.DuckDBPyConnection,
    scan: Scan,
    sha256: str,
    rows: int,
    bad: BadRows,
    batch: int,
    delivered_at: datetime,
) -> Landed:
    """Write one staged table: good rows to the warehouse, bad rows to the quarantine.

    Parameters
    ----------
    connection : DuckDBPyConnection
        The connection with the views of the scan.
    scan : Scan
    sha256 : str
        Of the files' contents and the layout's SQL.
    rows : int
        The number of rows read, without rejected lines.
    bad : BadRows
    batch : int
    delivered_at : datetime
        When the rows became known that do not say so themselves.
    """
    scan.mark_bad(bad.row_numbers, bad.rules)
    table = scan.table
    identifiers.create_keyed_view(connection, table, scan.kinds)
    values.create_valued_view(connection, table)
    if table is PRODUCTS:
        landed = products.land(connection, batch, delivered_at)
    else:
        landed = _append_events(connection, table, batch)
    _quarantine(connection, scan, bad, batch)
    good, read = rows - len(bad.row_numbers), rows + len(bad.lines)
    repeated = 0 if table is PRODUCTS else _repeated(connection, table, batch)
    result = Landed(table.name, scan.name, read, landed, good - landed, bad.count, repeated)
    # From when its rows count, and when they became known; a product's may count from ever.
    time = "valid_from" if table is PRODUCTS else "timestamp"
    first = "CASE WHEN count(*) = count(valid_from) THEN min(valid_from) END"
    known = f"coalesce({'NULL' if table is PRODUCTS else 'delivered_at'}, $delivered::TIMESTAMP)"
    connection.execute(
        f"""INSERT INTO batch_file BY NAME
            SELECT $batch AS batch_id, $table AS table_name, $file AS file, $sha256 AS sha256,
                   $read AS rows_read, $landed AS rows_landed, $known AS rows_known,
                   $bad AS rows_quarantined,
                   {first if table is PRODUCTS else "min(timestamp)"} AS first_event,
                   max({time}) AS last_event,
                   coalesce(min({known}), $delivered) AS first_delivered,
                   coalesce(max({known}), $delivered) AS last_delivered
            FROM {table.name} WHERE batch_id = $batch""",
        {
            "batch": batch,
            "table": table.name,
            "file": scan.name,
            "sha256": sha256,
            "read": read,
            "landed": landed,
            "known": result.known,
            "bad": bad.count,
            "delivered": naive_utc(delivered_at),
        },
    )
    return result


def _append_events(connection: duckdb.DuckDBPyConnection, table: Table, batch: int) -> int:
    columns, what = ", ".join(table.stored), ", ".join(table.identity)
    good = f"SELECT {columns} FROM valued"
    if _overlaps(connection, table):
        typed = ", ".join(f"{column}::{kind} AS {column}" for column, kind in table.stored.items())
        # Missing details are equal to each other.
        same = " AND ".join(
            f"n.{column} IS NOT DISTINCT FROM l.{column}" for column in table.identity
        )
        good = f"""
            WITH delivered_event AS (SELECT {typed} FROM ({good})),
                 span AS (SELECT min(timestamp) AS first, max(timestamp) AS last
                          FROM delivered_event),
                 landed_event AS (
                     SELECT {what}, count(*) AS copies FROM {table.name}, span
                     WHERE timestamp BETWEEN first AND last GROUP BY ALL),
                 numbered AS (SELECT {columns}, row_number() OVER (PARTITION BY {what}) AS copy
                              FROM delivered_event)
            SELECT n.* EXCLUDE copy FROM numbered n LEFT JOIN landed_event l ON {same}
            WHERE copy > coalesce(copies, 0)"""
    # Sorted by client: histories are read by client, and sorted columns are smaller.
    inserted = connection.execute(
        f"""INSERT INTO {table.name} ({columns}, batch_id)
            SELECT {columns}, ? FROM ({good}) ORDER BY client_id, timestamp, {table.item}""",
        [batch],
    ).fetchall()
    return int(inserted[0][0])


def _repeated(connection: duckdb.DuckDBPyConnection, table: Table, batch: int) -> int:
    """Count the rows of a batch that equal the row before them; they are stored sorted."""
    columns = list(table.identity)
    same = " AND ".join(f"{name} IS NOT DISTINCT FROM before.{name}" for name in columns)
    rows = connection.execute(
        f"""SELECT count(*) FILTER (before IS NOT NULL AND {same})
            FROM (SELECT {", ".join(columns)},
                         lag(struct_pack({", ".join(f"{name} := {name}" for name in columns)}))
                         OVER () AS before
                  FROM {table.name} WHERE batch_id = ?)""",
        [batch],
    ).fetchall()
    return int(rows[0][0])


def _overlaps(connection: duckdb.DuckDBPyConnection, table: Table) -> bool:
    """Whether an earlier batch has events in the delivery's time span."""
    rows = connection.execute(
        """SELECT count(*) FROM batch_file,
               (SELECT min(timestamp) AS first, max(timestamp) AS last FROM good)
           WHERE table_name = ? AND first_event <= last AND last_event >= first""",
        [table.name],
    ).fetchall()
    return bool(rows[0][0])


def overlap_warnings(
    connection: duckdb.DuckDBPyConnection, landed: Landed, batch: int
) -> Iterator[str]:
    """Warn of likely mistakes in events that just landed and overlap with earlier batches."""
    table = TABLES[landed.table]
    if "timestamp" not in table.columns or not _overlaps_before(connection, table, batch):
        return
    if landed.known:
        query = "SELECT bool_and(timestamp = date_trunc('hour', timestamp)) FROM good"
        if connection.execute(query).fetchall()[0][0]:
            yield (
                f"times of {table.name} are full hours or days: {landed.known:,} rows were skipped "
                "as known, but clients may have done the same again"
            )
    others = [name for name in table.columns if name != "timestamp"]
    same = " AND ".join(f"n.{name} = o.{name}" for name in others)
    # One of the two times is the other one without its seconds, minutes or hours.
    finer = " OR ".join(
        f"date_trunc('{unit}', n.timestamp) = date_trunc('{unit}', o.timestamp) "
        f"AND date_trunc('{unit}', o.timestamp) IN (n.timestamp, o.timestamp)"
        for unit in ("minute", "hour", "day")
    )
    rows = connection.execute(
        f"""WITH new_row AS (SELECT *, row_number() OVER () AS number FROM {table.name}
                             WHERE batch_id = $batch LIMIT {_COMPARED}),
                 pair AS (SELECT number, n.timestamp AS new, o.timestamp AS old,
                                 ({finer}) OR abs(date_diff('ms', o.timestamp, n.timestamp)) < 1000
                                 AS is_finer
                          FROM new_row n JOIN (FROM {table.name} WHERE batch_id < $batch) o
                          ON {same} AND n.timestamp <> o.timestamp
                             AND abs(date_diff('second', o.timestamp, n.timestamp)) <= 86400)
            SELECT CASE WHEN NOT is_finer
                        THEN date_trunc('second', new) - date_trunc('second', old) END AS shift,
                   count(DISTINCT number) AS alike, (SELECT count(*) FROM new_row)
            FROM pair WHERE is_finer OR abs(date_diff('second', old, new)) <= {_SHIFT}
            GROUP BY shift ORDER BY alike DESC, abs(epoch(shift)) LIMIT 1""",
        {"batch": batch},
    ).fetchall()
    for shift, alike, compared in rows:
        if alike > compared / 2 and compared >= _FEWEST:
            how = "have the time of an earlier row in another precision"
            if shift is not None:
                hours = shift.total_seconds() / 3600
                how = f"are {abs(hours):.2g} hours {'later' if hours > 0 else 'earlier'} than a row"
            yield (
                f"{alike:,} of {compared:,} new rows of {table.name} {how} that is the same "
                f"otherwise: if they are the same events, `ubp revert {batch}` removes this batch"
            )


def _overlaps_before(connection: duckdb.DuckDBPyConnection, table: Table, batch: int) -> bool:
    """Whether an earlier batch has events within a day of this batch's span."""
    rows = connection.execute(
        """SELECT count(*) FROM batch_file AS before JOIN batch_file AS this
               ON this.batch_id = $batch AND before.batch_id < $batch
                  AND this.table_name = $table AND before.table_name = $table
           WHERE before.first_event <= this.last_event + INTERVAL 1 DAY
                 AND before.last_event >= this.first_event - INTERVAL 1 DAY""",
        {"batch": batch, "table": table.name},
    ).fetchall()
    return bool(rows[0][0])


def _quarantine(
    connection: duckdb.DuckDBPyConnection, scan: Scan, bad: BadRows, batch: int
) -> None:
    connection.execute(
        """INSERT INTO quarantine
           SELECT ?, ?, file, source_row, rule, original FROM bad_original ORDER BY row_number""",
        [batch, scan.table.name],
    )
    for file, _, text, row in bad.lines:
        connection.execute(
            "INSERT INTO quarantine VALUES (?, ?, ?, ?, ?, to_json(?::VARCHAR))",
            [batch, scan.table.name, file, row, CSV_RULE, text],
        )


def unknown_skus(connection: duckdb.DuckDBPyConnection) -> int:
    """Count the events whose sku has no product properties."""
    parts = " UNION ALL ".join(
        f"SELECT count(*) AS rows FROM {table.name} ANTI JOIN product_properties USING (sku)"
        for table in TABLES.values()
        if "sku" in table.columns and table is not PRODUCTS
    )
    return int(connection.execute(f"SELECT sum(rows) FROM ({parts})").fetchall()[0][0])
