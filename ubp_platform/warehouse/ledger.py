"""The ledger: which batches have landed, and which of their rows are in quarantine."""

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import duckdb

from ubp_platform.errors import UBPError
from ubp_platform.events.schema import TABLES
from ubp_platform.times import aware_utc, naive_utc
from ubp_platform.warehouse import delivery_times, identifiers, key_states, values


@dataclass(frozen=True)
class Delivered:
    """When a batch landed, and when it was delivered.

    Parameters
    ----------
    landed_at : datetime
        Now.
    at : datetime
        When its rows became known; that is when they landed, unless they are loaded later.
    complete_until : datetime, optional
        Up to when the log is complete with it, where the shop says so.
    """

    landed_at: datetime
    at: datetime
    complete_until: datetime | None = None

    def landing_now(self) -> "Delivered":
        """Return the same, after a wait for other processes."""
        now = datetime.now(UTC)
        at = now if self.at == self.landed_at else self.at
        return Delivered(now, at, self.complete_until)


def known_files(connection: duckdb.DuckDBPyConnection) -> dict[tuple[str, str], int]:
    """Return the batch of each file that has landed, by table and SHA-256."""
    rows = connection.execute("SELECT table_name, sha256, batch_id FROM batch_file").fetchall()
    return {(table, sha256): batch for table, sha256, batch in rows}


def next_batch(connection: duckdb.DuckDBPyConnection) -> int:
    """Return the number of the next batch: one that was never assigned."""
    rows = connection.execute(
        """SELECT coalesce(max(batch_id), 0) + 1
           FROM (SELECT batch_id FROM batch UNION ALL SELECT batch_id FROM retracted)"""
    ).fetchall()
    return int(rows[0][0])


def record_batch(
    connection: duckdb.DuckDBPyConnection,
    batch: int,
    source: str,
    data_docs: Path,
    delivered: Delivered,
) -> None:
    """Add a batch, whose rows have landed, to the ledger."""
    until = delivered.complete_until
    connection.execute(
        "INSERT INTO batch VALUES (?, ?, ?, ?, ?, ?)",
        [
            batch,
            source,
            naive_utc(delivered.landed_at),
            str(data_docs),
            naive_utc(delivered.at),
            until and naive_utc(until),
        ],
    )
    delivery_times.complete(connection)
    key_states.extend(connection, batch)


def numbers(connection: duckdb.DuckDBPyConnection) -> list[int]:
    """Return the numbers of the batches, ascending."""
    rows = connection.execute("SELECT batch_id FROM batch ORDER BY batch_id").fetchall()
    return [number for (number,) in rows]


def require(connection: duckdb.DuckDBPyConnection, batch: int) -> None:
    """Check that a batch exists; raise UBPError if it does not."""
    existing = numbers(connection)
    if batch not in existing:
        known = ", ".join(map(str, existing)) or "none yet"
        raise UBPError(f"there is no batch {batch}; there are: {known}")


def reverted_at(connection: duckdb.DuckDBPyConnection, batch: int) -> datetime | None:
    """Return when a batch was reverted; None if it was not."""
    rows = connection.execute(
        "SELECT retracted_at FROM retracted WHERE batch_id = ?", [batch]
    ).fetchall()
    return aware_utc(rows[0][0]) if rows else None


def revert(connection: duckdb.DuckDBPyConnection, batch: int) -> dict[str, int]:
    """Remove a batch from the warehouse: its rows, its quarantine, its entry in the ledger.

    Rows that later batches delivered as well are lost until they are delivered again; the files of
    such batches are no longer skipped. When
    no batch is left, the kinds of columns are deleted as well. Called inside a transaction.

    Returns
    -------
    dict of str to int
        The number of rows that each table lost, if any.

    Raises
    ------
    UBPError
        If there is no such batch.
    """
    require(connection, batch)
    # Rows of later batches may have been skipped as known because of this batch: their files must
    # be accepted again.
    connection.execute(
        """UPDATE batch_file SET sha256 = sha256 || ' again'
           WHERE table_name IN (FROM batch_file SELECT table_name
                                WHERE batch_id = $batch AND rows_landed > 0)
                 AND batch_id > $batch AND rows_known > 0""",
        {"batch": batch},
    )
    lost = {}
    for table in (*TABLES, "quarantine", "batch_file", "batch"):
        rows = connection.execute(f"DELETE FROM {table} WHERE batch_id = ?", [batch]).fetchall()
        if table in (*TABLES, "quarantine") and rows[0][0]:
            lost[table] = int(rows[0][0])
    connection.execute("INSERT INTO retracted VALUES (?, ?)", [batch, naive_utc(datetime.now(UTC))])
    if not connection.execute("SELECT count(*) FROM batch").fetchall()[0][0]:
        identifiers.forget(connection)
        key_states.forget(connection)
    values.forget(connection)
    return lost


def to_deliver_again(connection: duckdb.DuckDBPyConnection) -> list[str]:
    """Return the files, with source and batch, that lost rows to another reverted batch."""
    rows = connection.execute(
        """SELECT DISTINCT file, source, batch_id FROM batch_file JOIN batch USING (batch_id)
           WHERE sha256 LIKE '% again' ORDER BY batch_id, file"""
    ).fetchall()
    return [f"{file} of {source} (batch {batch})" for file, source, batch in rows]


def quarantined(connection: duckdb.DuckDBPyConnection) -> list[tuple[str, str, int]]:
    """Count quarantined rows by table and rule, most first."""
    return connection.execute(
        """SELECT table_name, rule, count(*) AS rows FROM quarantine
           GROUP BY ALL ORDER BY rows DESC, table_name, rule"""
    ).fetchall()


def broken_rules(
    connection: duckdb.DuckDBPyConnection, batch: int | None, table: str
) -> dict[str, int]:
    """Count the quarantined rows of a batch's table by rule, most first."""
    rows = connection.execute(
        """SELECT rule, count(*) AS rows FROM quarantine WHERE batch_id = ? AND table_name = ?
           GROUP BY rule ORDER BY rows DESC, rule""",
        [batch, table],
    ).fetchall()
    return dict(rows)


def quarantined_rows(
    connection: duckdb.DuckDBPyConnection, batch: int | None, limit: int
) -> tuple[list[dict[str, object]], int]:
    """Return up to ``limit`` quarantined rows, newest batch first, and the number of all."""
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
    """Delete quarantined rows, of one batch or of all, and return their number."""
    query = "DELETE FROM quarantine WHERE batch_id = coalesce(?, batch_id)"
    return int(connection.execute(query, [batch]).fetchall()[0][0])


def batches(connection: duckdb.DuckDBPyConnection) -> list[dict[str, object]]:
    """Describe the batches, oldest first."""
    rows = connection.execute(
        """SELECT batch_id, source, landed_at, delivered_at, complete_until, data_docs,
                  sum(rows_landed)::BIGINT, sum(rows_known)::BIGINT, sum(rows_quarantined)::BIGINT
           FROM batch JOIN batch_file USING (batch_id)
           GROUP BY ALL ORDER BY batch_id"""
    ).fetchall()
    times = ("landed_at", "delivered_at", "complete_until")
    names = ("batch", "source", *times, "data_docs", "landed", "known", "quarantined")
    return [dict(zip(names, row, strict=True)) for row in rows]
