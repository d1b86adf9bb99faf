"""The warehouse of one home: its events, its relevant clients, and histories of it."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Self

import duckdb
import numpy as np
import pyarrow as pa

from ubp_platform.errors import UBPError
from ubp_platform.events.schema import EVENT_TYPES, TABLES
from ubp_platform.times import aware_utc, naive_utc
from ubp_platform.warehouse import key_states
from ubp_platform.warehouse.connection import configure
from ubp_platform.warehouse.database import damaged, has_table, is_damage, rewrite
from ubp_platform.warehouse.delivery_times import EVERYTHING, Known
from ubp_platform.warehouse.history import History
from ubp_platform.warehouse.identifiers import Identifiers
from ubp_platform.warehouse.opening import open_locked


@dataclass(frozen=True)
class Span:
    """The number of rows and clients of one table, and its first and last event."""

    rows: int
    clients: int
    first: datetime | None
    last: datetime | None


class Warehouse:
    """The warehouse of one home, to be used in a ``with`` statement.

    Any number of processes may read it, or one may write.

    Parameters
    ----------
    path : Path
        The DuckDB file.
    write : bool
        Open for writing; creates the file and its tables if they are missing.
    memory_share : float
        The part of the settings' memory limit that it may use; what does not fit is spilled next
        to the file.
    wait : bool
        Wait for other processes whose use excludes this one; a warning says which.

    Raises
    ------
    WarehouseBusy
        If another process has it open for writing, or for reading where it is to be written.
    WarehouseMissing
        If it is opened for reading before anything has been ingested.
    """

    def __init__(
        self,
        path: Path,
        write: bool = False,
        memory_share: float = 1.0,
        wait: bool = False,
    ) -> None:
        self.path = path
        self._lock, self.connection = open_locked(path, write, wait)
        configure(self.connection, memory_share)
        self._histories: list[History] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            # Histories hold connections of their own, which would keep the file open.
            for history in self._histories:
                history.close()
            self.connection.close()
        except duckdb.Error as closing:
            error = error or closing
            if not is_damage(closing, self.path):
                raise
        finally:
            if self._lock:
                self._lock.release()
        if isinstance(error, duckdb.Error) and is_damage(error, self.path):
            raise damaged(self.path, error) from None

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Write everything inside the block, or nothing."""
        self.connection.execute("BEGIN TRANSACTION")
        try:
            yield
        except BaseException:
            with suppress(duckdb.Error):  # of a damaged file, which cannot even do that
                self.connection.execute("ROLLBACK")
            raise
        self.connection.execute("COMMIT")

    def rewrite(self) -> None:
        """Write the file anew, without the bytes of what was deleted; call it last.

        Raises
        ------
        UBPError
            If there is no room for a second file; the first one stays as it is.
        """
        rewrite(self.connection, self.path)

    @cached_property
    def relevant(self) -> np.ndarray | None:
        """The relevant clients, int64, ascending; None if all clients are."""
        if not has_table(self.connection, "relevant_client"):
            return None
        query = "SELECT client_id FROM relevant_client ORDER BY client_id"
        found: np.ndarray = self.connection.execute(query).fetchnumpy()["client_id"]
        return found

    def identifiers(self, column: str) -> Identifiers:
        """Return the translation between the ids and keys of a column of ids."""
        return Identifiers(self.connection, column)

    def set_relevant(self, clients: np.ndarray | None) -> None:
        """Set the relevant clients, distinct; they need not have events. All clients by default."""
        vars(self).pop("relevant", None)
        with self.transaction():
            self.connection.execute("DROP TABLE IF EXISTS relevant_client")
            if clients is not None:
                self.connection.register("listed", pa.table({"client_id": np.sort(clients)}))
                self.connection.execute("CREATE TABLE relevant_client AS FROM listed")
                self.connection.unregister("listed")
            self._identify_list(clients)

    def _identify_list(self, clients: np.ndarray | None) -> None:
        """Note what identifies the list: the same later, when clients of it have been forgotten."""
        self.connection.execute("DROP TABLE IF EXISTS relevant_list")
        if clients is not None:
            digest = hashlib.sha256(np.sort(clients).astype("<i8").tobytes()).hexdigest()
            self.connection.execute("CREATE TABLE relevant_list AS SELECT ? AS sha256", [digest])

    @property
    def _relevant_identity(self) -> bytes:
        """What identifies the relevant clients, as they were listed; empty if all are."""
        if self.relevant is None:
            return b""
        if has_table(self.connection, "relevant_list"):
            rows = self.connection.execute("FROM relevant_list").fetchall()
            return str(rows[0][0]).encode()
        return self.relevant.tobytes()  # listed by an earlier release

    def history(
        self,
        cutoff: datetime,
        clients: np.ndarray | None = None,
        known: Known = EVERYTHING,
    ) -> History:
        """Return the events strictly before ``cutoff``, by default for the relevant clients.

        Only what is ``known`` belongs to it; everything by default.
        """
        relevant = self.relevant if clients is None else clients
        history = History(self.connection, cutoff, relevant, known=known)
        self._histories.append(history)
        return history

    def span(self, table: str) -> Span:
        """Measure one table."""
        if table in EVENT_TYPES:
            query = f"""SELECT count(*), count(DISTINCT client_id), min(timestamp), max(timestamp)
                        FROM {TABLES[table].name}"""
        else:
            query = f"SELECT count(*), 0, NULL, NULL FROM {TABLES[table].name}"
        rows, clients, first, last = self.connection.execute(query).fetchall()[0]
        return Span(rows, clients, aware_utc(first), aware_utc(last))

    def clients(self, listed: np.ndarray | None = None) -> int:
        """Count the clients with any event, among those listed or all."""
        only = ""
        if listed is not None:
            self.connection.register("listed", pa.table({"client_id": listed}))
            only = "SEMI JOIN listed USING (client_id)"
        parts = " UNION ".join(f"SELECT client_id FROM {name} {only}" for name in EVENT_TYPES)
        found = self.connection.execute(f"SELECT count(*) FROM ({parts})").fetchall()[0][0]
        self.connection.unregister("listed")
        return int(found)

    def busiest(self) -> tuple[int | str, float] | None:
        """Return the client with most events, as the shop's id, and its share of all events."""
        parts = " UNION ALL ".join(
            f"SELECT client_id, count(*) AS events FROM {name} GROUP BY client_id"
            for name in EVENT_TYPES
        )
        rows = self.connection.execute(
            f"""SELECT arg_max(client_id, events), max(events) / sum(events)
                FROM (SELECT client_id, sum(events) AS events FROM ({parts}) GROUP BY client_id)"""
        ).fetchall()
        key, share = rows[0]
        if key is None:
            return None
        return self.identifiers("client_id").ids(np.array([key], np.int64)).tolist()[0], share

    @property
    def key_state(self) -> str:
        """What the keys of text ids stand for at present; empty if there are none."""
        return key_states.newest(self.connection)

    def event_times(self) -> tuple[datetime, datetime]:
        """Return the times of the first and the last event; raise UBPError if there is none."""
        parts = " UNION ALL ".join(
            f"SELECT min(timestamp) AS first, max(timestamp) AS last FROM {name}"
            for name in EVENT_TYPES
        )
        times = self.connection.execute(f"SELECT min(first), max(last) FROM ({parts})").fetchall()
        first, last = map(aware_utc, times[0])
        if first is None or last is None:
            raise UBPError("the warehouse holds no events: run `ubp ingest SOURCE` first")
        return first, last

    def identity(self, cutoff: datetime, known: Known = EVERYTHING) -> str:
        """Return a hash of what a history at a cutoff consists of: equal hash, equal history.

        It covers the contributing files' contents, the cutoff, the keys of text ids, and the
        relevant clients. Later batches with no event before the cutoff do not change it. Nor does
        ``known``, as in :meth:`history`, as long as it leaves nothing out.
        """
        late = known.delivered_before and naive_utc(known.delivered_before)
        landed = known.landed_before and naive_utc(known.landed_before)
        rows = self.connection.execute(
            """SELECT table_name, sha256, batch_id,
                      coalesce(last_delivered >= $late, false) AS in_part,
                      CASE WHEN table_name = 'product_properties' THEN last_event END AS holds_from
               FROM batch_file JOIN batch USING (batch_id)
               WHERE rows_landed > 0 AND (first_event IS NULL OR first_event < $cutoff)
                     AND ($late::TIMESTAMP IS NULL OR first_delivered < $late)
                     AND ($landed::TIMESTAMP IS NULL OR landed_at < $landed)
               ORDER BY batch_id, table_name, sha256""",
            {"cutoff": naive_utc(cutoff), "late": late, "landed": landed},
        ).fetchall()
        parts = [cutoff.astimezone(UTC).isoformat()]
        for name, digest, _, in_part, holds_from in rows:
            # Products without a time of their own hold from their delivery on.
            held = f" from {holds_from}" if holds_from else ""
            parts.append(f"{name}:{digest}" + f" {late}" * in_part + held)
        # Histories of text ids are of their keys.
        keys = key_states.newest(self.connection, up_to=rows[-1][2] if rows else None)
        parts += [keys] if keys else []
        digest = hashlib.sha256("\n".join(parts).encode())
        digest.update(self._relevant_identity)
        return digest.hexdigest()
