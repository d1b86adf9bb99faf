"""Writing a checked batch: events, product properties, quarantine, and the books.

Everything here runs inside one transaction of the caller.

Two events are the same when they agree in all columns *and* in how often they occurred: the second
of two equal rows in one delivery is the same event as the second of two equal rows in another. So
a client may do the same thing twice within a second, and yet deliveries that overlap add nothing.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import duckdb
import numpy as np

from ubp_platform.errors import UBPError
from ubp_platform.events.schema import PRODUCTS, TABLES, Table
from ubp_platform.warehouse import identifiers, values
from ubp_platform.warehouse.scan import CSV_RULE, RejectedLine, Scan


@dataclass(frozen=True)
class BadRows:
    """Rows of one file that break rules.

    Parameters
    ----------
    row_numbers : ndarray of int64, shape (n,)
        Ascending, from 1; the header of a CSV file does not count.
    rules : ndarray of object (str), shape (n,)
        The rules each row breaks, in words.
    lines : list of RejectedLine
        Lines of CSV files that are no rows at all.
    """

    row_numbers: np.ndarray
    rules: np.ndarray
    lines: Sequence[RejectedLine]

    @property
    def count(self) -> int:
        """Rows and lines together."""
        return len(self.row_numbers) + len(self.lines)


@dataclass(frozen=True)
class Landed:
    """What became of the rows of one file; of those that landed, how many are ``repeated``."""

    table: str
    file: str
    read: int
    landed: int
    known: int
    quarantined: int
    repeated: int = 0


def known_files(connection: duckdb.DuckDBPyConnection) -> dict[tuple[str, str], int]:
    """Give the batch of each file that has landed, by table and SHA-256."""
    rows = connection.execute("SELECT table_name, sha256, batch_id FROM batch_file").fetchall()
    return {(table, sha256): batch for table, sha256, batch in rows}


def next_batch(connection: duckdb.DuckDBPyConnection) -> int:
    """Give the number of the next batch: one that none has had."""
    rows = connection.execute(
        """SELECT coalesce(max(batch_id), 0) + 1
           FROM (SELECT batch_id FROM batch UNION ALL SELECT batch_id FROM retracted)"""
    ).fetchall()
    return int(rows[0][0])


def record_batch(
    connection: duckdb.DuckDBPyConnection, batch: int, source: str, data_docs: Path
) -> None:
    """Enter a batch into the books."""
    connection.execute(
        "INSERT INTO batch VALUES (?, ?, ?, ?)",
        [batch, source, datetime.now(UTC).replace(tzinfo=None), str(data_docs)],
    )


def numbers(connection: duckdb.DuckDBPyConnection) -> list[int]:
    """List the batches, ascending."""
    rows = connection.execute("SELECT batch_id FROM batch ORDER BY batch_id").fetchall()
    return [number for (number,) in rows]


def require(connection: duckdb.DuckDBPyConnection, batch: int) -> None:
    """Insist that there is a batch.

    Raises
    ------
    UBPError
        If there is none of this number.
    """
    there = numbers(connection)
    if batch not in there:
        known = ", ".join(map(str, there)) or "none yet"
        raise UBPError(f"there is no batch {batch}; there are: {known}")


def retract(connection: duckdb.DuckDBPyConnection, batch: int) -> dict[str, int]:
    """Take a batch out of the warehouse: its rows, its quarantine, its entry in the books.

    Rows that other batches delivered, too, and products whose properties it brought or changed, are
    gone with it until they are delivered again; the files of such batches are no longer skipped.
    Without any batch left, what columns hold is forgotten, too.

    Parameters
    ----------
    connection : DuckDBPyConnection
        Inside a transaction of the caller.
    batch : int

    Returns
    -------
    dict of str to int
        How many rows each table lost, where it lost any.

    Raises
    ------
    UBPError
        If there is no such batch.
    """
    require(connection, batch)
    lost = {}
    for table in (*TABLES, "quarantine", "batch_file", "batch"):
        rows = connection.execute(f"DELETE FROM {table} WHERE batch_id = ?", [batch]).fetchall()
        if table in (*TABLES, "quarantine") and rows[0][0]:
            lost[table] = int(rows[0][0])
    connection.execute(
        "INSERT INTO retracted VALUES (?, ?)", [batch, datetime.now(UTC).replace(tzinfo=None)]
    )
    # What others delivered, too, was known by this one: their files are to land again.
    connection.execute(
        """UPDATE batch_file SET sha256 = sha256 || ' again'
           WHERE table_name IN (SELECT unnest(?))
                 AND (table_name = 'product_properties' OR batch_id > ? AND rows_known > 0)""",
        [list(lost), batch],
    )
    if not connection.execute("SELECT count(*) FROM batch").fetchall()[0][0]:
        identifiers.forget(connection)
        values.forget(connection)
    return lost


def to_deliver_again(connection: duckdb.DuckDBPyConnection) -> list[str]:
    """Name the files, with their batches, whose rows went with a batch that was taken back."""
    rows = connection.execute(
        """SELECT DISTINCT file, batch_id FROM batch_file WHERE sha256 LIKE '% again'
           ORDER BY batch_id, file"""
    ).fetchall()
    return [f"{file} (batch {batch})" for file, batch in rows]


def land_file(
    connection: duckdb.DuckDBPyConnection,
    scan: Scan,
    sha256: str,
    rows: int,
    bad: BadRows,
    batch: int,
) -> Landed:
    """Write one staged file: good rows to its table, bad rows to the quarantine.

    Parameters
    ----------
    connection : DuckDBPyConnection
        The one the scan has its views on.
    scan : Scan
        Opened and staged.
    sha256 : str
        Of the file's content.
    rows : int
        How many rows were read, without the lines that are no rows.
    bad : BadRows
    batch : int

    Returns
    -------
    Landed
    """
    scan.mark_bad(bad.row_numbers, bad.rules)
    table = scan.table
    identifiers.give_keys(connection, table, scan.kinds)
    values.give_values(connection, table)
    landed = (_upsert_products if table is PRODUCTS else _append_events)(connection, table, batch)
    _quarantine(connection, scan, bad, batch)
    first, last = (None, None)
    if "timestamp" in table.columns:
        first, last = connection.execute(
            f"SELECT min(timestamp), max(timestamp) FROM {table.name} WHERE batch_id = ?", [batch]
        ).fetchall()[0]
    good, read = rows - len(bad.row_numbers), rows + len(bad.lines)
    repeated = 0 if table is PRODUCTS else _repeated(connection, table, batch)
    result = Landed(table.name, scan.name, read, landed, good - landed, bad.count, repeated)
    connection.execute(
        "INSERT INTO batch_file VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        [
            batch,
            table.name,
            result.file,
            sha256,
            read,
            landed,
            result.known,
            bad.count,
            first,
            last,
        ],
    )
    return result


def _append_events(connection: duckdb.DuckDBPyConnection, table: Table, batch: int) -> int:
    columns = ", ".join(table.stored)
    good = f"SELECT {columns} FROM valued"
    if _overlaps(connection, table):
        typed = ", ".join(f"{column}::{kind} AS {column}" for column, kind in table.stored.items())
        # Details may be missing, and then are the same as missing ones.
        same = " AND ".join(
            f"n.{column} IS NOT DISTINCT FROM l.{column}" for column in table.stored
        )
        good = f"""
            WITH delivered_event AS (SELECT {typed} FROM ({good})),
                 span AS (SELECT min(timestamp) AS first, max(timestamp) AS last
                          FROM delivered_event),
                 landed_event AS (
                     SELECT {columns}, count(*) AS copies FROM {table.name}, span
                     WHERE timestamp BETWEEN first AND last GROUP BY ALL),
                 numbered AS (SELECT {columns}, row_number() OVER (PARTITION BY {columns}) AS copy
                              FROM delivered_event)
            SELECT n.* EXCLUDE copy FROM numbered n LEFT JOIN landed_event l ON {same}
            WHERE copy > coalesce(copies, 0)"""
    # Clients together: histories are read by client, and sorted columns are smaller.
    inserted = connection.execute(
        f"""INSERT INTO {table.name} ({columns}, batch_id)
            SELECT {columns}, ? FROM ({good}) ORDER BY client_id, timestamp, {_third(table)}""",
        [batch],
    ).fetchall()
    return int(inserted[0][0])


def _third(table: Table) -> str:
    """Name the column that events are told apart by, after client and time."""
    return next(name for name in table.columns if name not in ("client_id", "timestamp"))


def _repeated(connection: duckdb.DuckDBPyConnection, table: Table, batch: int) -> int:
    """Count the rows of a batch that agree with the one before them, as they lie: sorted."""
    columns = list(table.stored)
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
    """Whether an earlier batch has events in the delivery's span of time."""
    rows = connection.execute(
        """SELECT count(*) FROM batch_file,
               (SELECT min(timestamp) AS first, max(timestamp) AS last FROM good)
           WHERE table_name = ? AND first_event <= last AND last_event >= first""",
        [table.name],
    ).fetchall()
    return bool(rows[0][0])


def doubts(connection: duckdb.DuckDBPyConnection, landed: Landed, batch: int) -> Iterator[str]:
    """Say what is doubtful about events that overlap with those of earlier batches.

    Parameters
    ----------
    connection : DuckDBPyConnection
        Just after they landed.
    landed : Landed
    batch : int
    """
    table = TABLES[landed.table]
    if "timestamp" not in table.columns or not _overlaps_before(connection, table, batch):
        return
    if landed.known:
        query = "SELECT bool_and(timestamp = date_trunc('hour', timestamp)) FROM good"
        if connection.execute(query).fetchall()[0][0]:
            yield (
                f"times of {table.name} are whole hours or days: that {landed.known:,} rows were "
                "known cannot be told from clients doing the same again"
            )
    others = [name for name in table.columns if name != "timestamp"]
    same = " AND ".join(f"n.{name} = o.{name}" for name in others)
    second = f"SELECT *, date_trunc('second', timestamp) AS second FROM {table.name}"
    alike = connection.execute(
        f"""SELECT count(*) FROM ({second} WHERE batch_id = $batch) n
            SEMI JOIN ({second} WHERE batch_id < $batch) o
                ON {same} AND n.second = o.second AND n.timestamp <> o.timestamp""",
        {"batch": batch},
    ).fetchall()[0][0]
    if landed.landed and alike > landed.landed / 2:
        yield (
            f"{alike:,} of the {landed.landed:,} new rows of {table.name} differ from rows that "
            "had landed in less than a second: if it is the same again, "
            f"`ubp retract {batch}` takes this batch back"
        )


def _overlaps_before(connection: duckdb.DuckDBPyConnection, table: Table, batch: int) -> bool:
    rows = connection.execute(
        """SELECT count(*) FROM batch_file AS before JOIN batch_file AS this
               ON this.batch_id = $batch AND before.batch_id < $batch
                  AND this.table_name = $table AND before.table_name = $table
           WHERE before.first_event <= this.last_event + INTERVAL 1 SECOND
                 AND before.last_event >= this.first_event - INTERVAL 1 SECOND""",
        {"batch": batch, "table": table.name},
    ).fetchall()
    return bool(rows[0][0])


def _upsert_products(connection: duckdb.DuckDBPyConnection, table: Table, batch: int) -> int:
    columns = ", ".join(table.stored)
    typed = ", ".join(f"{column}::{kind} AS {column}" for column, kind in table.stored.items())
    # Of a product that is delivered twice the last row counts; what has not changed stays.
    connection.execute(
        f"""CREATE OR REPLACE TEMP TABLE new_product AS
            WITH newest AS (
                SELECT * FROM valued
                QUALIFY row_number() OVER (PARTITION BY sku ORDER BY row_number DESC) = 1)
            (SELECT {typed} FROM newest) EXCEPT (SELECT {columns} FROM {table.name})"""
    )
    connection.execute(f"DELETE FROM {table.name} WHERE sku IN (SELECT sku FROM new_product)")
    inserted = connection.execute(
        f"""INSERT INTO {table.name} ({columns}, batch_id)
            SELECT {columns}, ? FROM new_product ORDER BY sku""",
        [batch],
    ).fetchall()
    connection.execute("DROP TABLE new_product")
    return int(inserted[0][0])


def _quarantine(
    connection: duckdb.DuckDBPyConnection, scan: Scan, bad: BadRows, batch: int
) -> None:
    connection.execute(
        """INSERT INTO quarantine
           SELECT ?, ?, file, source_row, rule, original FROM bad_original ORDER BY row_number""",
        [batch, scan.table.name],
    )
    for file, line, text in bad.lines:
        connection.execute(
            "INSERT INTO quarantine VALUES (?, ?, ?, ?, ?, to_json(?::VARCHAR))",
            [batch, scan.table.name, file, line, CSV_RULE, text],
        )


def quarantined(connection: duckdb.DuckDBPyConnection) -> list[tuple[str, str, int]]:
    """Count quarantined rows by table and rule, most first."""
    return connection.execute(
        """SELECT table_name, rule, count(*) AS rows FROM quarantine
           GROUP BY ALL ORDER BY rows DESC, table_name, rule"""
    ).fetchall()


def quarantined_rows(
    connection: duckdb.DuckDBPyConnection, batch: int | None, limit: int
) -> tuple[list[dict[str, object]], int]:
    """Give quarantined rows, those of the newest batch first, and how many there are.

    Parameters
    ----------
    connection : DuckDBPyConnection
    batch : int, optional
        All batches by default.
    limit : int
    """
    rows = connection.execute(
        """SELECT batch_id, table_name, file, row_number, rule, original::VARCHAR,
                  count(*) OVER () AS total
           FROM quarantine WHERE batch_id = coalesce($batch, batch_id)
           ORDER BY batch_id DESC, table_name, file, row_number LIMIT $limit""",
        {"batch": batch, "limit": limit},
    ).fetchall()
    names = ("batch", "table", "file", "row", "rule", "original")
    total = rows[0][-1] if rows else 0
    return [dict(zip(names, row, strict=False)) for row in rows], total


def clear_quarantine(connection: duckdb.DuckDBPyConnection, batch: int | None) -> int:
    """Forget quarantined rows, of one batch or of all; gives how many."""
    query = "DELETE FROM quarantine WHERE batch_id = coalesce(?, batch_id)"
    return int(connection.execute(query, [batch]).fetchall()[0][0])


def unknown_skus(connection: duckdb.DuckDBPyConnection) -> int:
    """Count the events whose sku has no product properties."""
    parts = " UNION ALL ".join(
        f"SELECT count(*) AS rows FROM {table.name} ANTI JOIN product_properties USING (sku)"
        for table in TABLES.values()
        if "sku" in table.columns and table is not PRODUCTS
    )
    return int(connection.execute(f"SELECT sum(rows) FROM ({parts})").fetchall()[0][0])


def batches(connection: duckdb.DuckDBPyConnection) -> list[dict[str, object]]:
    """Describe the batches, oldest first."""
    rows = connection.execute(
        """SELECT batch_id, source, landed_at, data_docs, sum(rows_landed)::BIGINT,
                  sum(rows_known)::BIGINT, sum(rows_quarantined)::BIGINT
           FROM batch JOIN batch_file USING (batch_id)
           GROUP BY ALL ORDER BY batch_id"""
    ).fetchall()
    names = ("batch", "source", "landed_at", "data_docs", "landed", "known", "quarantined")
    return [dict(zip(names, row, strict=True)) for row in rows]
