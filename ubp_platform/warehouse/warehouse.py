"""The DuckDB file: its tables, who may open it, and what it says of itself."""

import hashlib
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Self

import duckdb
import numpy as np
import pyarrow as pa

from ubp_platform.errors import UBPError, WarehouseBusy, WarehouseMissing
from ubp_platform.events.schema import EVENT_TYPES, TABLES
from ubp_platform.warehouse import identifiers, values
from ubp_platform.warehouse.connection import configure
from ubp_platform.warehouse.history import History
from ubp_platform.warehouse.identifiers import Identifiers

_BOOKKEEPING = """
CREATE TABLE batch (
    batch_id INTEGER PRIMARY KEY,
    source VARCHAR NOT NULL,
    landed_at TIMESTAMP NOT NULL,
    data_docs VARCHAR
);
CREATE TABLE batch_file (
    batch_id INTEGER NOT NULL,
    table_name VARCHAR NOT NULL,
    file VARCHAR NOT NULL,
    sha256 VARCHAR NOT NULL,
    rows_read BIGINT NOT NULL,
    rows_landed BIGINT NOT NULL,
    rows_known BIGINT NOT NULL,
    rows_quarantined BIGINT NOT NULL,
    first_event TIMESTAMP,
    last_event TIMESTAMP
);
CREATE TABLE quarantine (
    batch_id INTEGER NOT NULL,
    table_name VARCHAR NOT NULL,
    file VARCHAR NOT NULL,
    row_number BIGINT NOT NULL,
    rule VARCHAR NOT NULL,
    original JSON NOT NULL
);
"""
# A number that a batch has had is not given again.
_RETRACTED = """
CREATE TABLE IF NOT EXISTS retracted (batch_id INTEGER NOT NULL, retracted_at TIMESTAMP NOT NULL)
"""


@dataclass(frozen=True)
class Span:
    """Rows, clients and the time between the first and the last event of one table."""

    rows: int
    clients: int
    first: datetime | None
    last: datetime | None


class Warehouse:
    """The warehouse of one home; use it in a ``with`` statement.

    Any number of processes may read, or one may write.

    Parameters
    ----------
    path : Path
        The DuckDB file.
    write : bool
        Open for writing, creating the file and its tables where they are missing.
    memory_share : float
        The part of the memory limit of the settings that it may use; what does not fit is spilled
        next to the file.

    Raises
    ------
    WarehouseBusy
        If another process has it open for writing.
    WarehouseMissing
        If it is opened for reading before anything was ingested.
    """

    def __init__(self, path: Path, write: bool = False, memory_share: float = 1.0) -> None:
        self.path = path
        if write:
            _create(path)
        elif not path.exists():
            raise WarehouseMissing(f"no warehouse at {path} yet: run `ubp ingest SOURCE` first")
        self.connection: duckdb.DuckDBPyConnection = _connect(path, write)
        self._histories: list[History] = []
        if not self._has_tables():
            self.connection.close()
            raise WarehouseMissing(
                f"{path} is a database, but no warehouse: remove it, then run `ubp ingest SOURCE`"
            )
        if not _is_up_to_date(self.connection):
            if write:
                _bring_up_to_date(self.connection)
            else:
                self.connection.close()
                Warehouse(path, write=True).connection.close()
                self.connection = _connect(path, write)
        configure(self.connection, memory_share)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        # Histories hold connections of their own, which would keep the file open.
        for history in self._histories:
            history.close()
        self.connection.close()

    def _has_tables(self) -> bool:
        query = "SELECT count(*) FROM duckdb_tables() WHERE table_name = 'batch'"
        return bool(self.connection.execute(query).fetchall()[0][0])

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All that is written inside lands whole, or not at all."""
        self.connection.execute("BEGIN TRANSACTION")
        try:
            yield
        except BaseException:
            self.connection.execute("ROLLBACK")
            raise
        self.connection.execute("COMMIT")

    @cached_property
    def relevant(self) -> np.ndarray | None:
        """The clients whose profiles are wanted, int64, ascending; None where all are."""
        query = "SELECT count(*) FROM duckdb_tables() WHERE table_name = 'relevant_client'"
        if not self.connection.execute(query).fetchall()[0][0]:
            return None
        query = "SELECT client_id FROM relevant_client ORDER BY client_id"
        found: np.ndarray = self.connection.execute(query).fetchnumpy()["client_id"]
        return found

    def identifiers(self, column: str) -> Identifiers:
        """Translate between a column's ids and their keys.

        Parameters
        ----------
        column : {"client_id", "sku", "category", "url"}
        """
        return Identifiers(self.connection, column)

    def set_relevant(self, clients: np.ndarray | None) -> None:
        """Say whose profiles are wanted from now on.

        Parameters
        ----------
        clients : ndarray of int64, optional
            Each once; they need not have events. All clients by default.
        """
        vars(self).pop("relevant", None)
        with self.transaction():
            self.connection.execute("DROP TABLE IF EXISTS relevant_client")
            if clients is not None:
                self.connection.register("wanted", pa.table({"client_id": np.sort(clients)}))
                self.connection.execute("CREATE TABLE relevant_client AS FROM wanted")
                self.connection.unregister("wanted")

    def history(self, cutoff: datetime, clients: np.ndarray | None = None) -> History:
        """Give the events strictly before ``cutoff``.

        Parameters
        ----------
        cutoff : datetime
            Aware; the first instant that is not seen.
        clients : ndarray of int64, optional
            In place of the relevant clients.
        """
        history = History(self.connection, cutoff, self.relevant if clients is None else clients)
        self._histories.append(history)
        return history

    def span(self, table: str) -> Span:
        """Measure one table.

        Parameters
        ----------
        table : str
            A name of :data:`~ubp_platform.events.schema.TABLES`.
        """
        if table in EVENT_TYPES:
            query = f"""SELECT count(*), count(DISTINCT client_id), min(timestamp), max(timestamp)
                        FROM {TABLES[table].name}"""
        else:
            query = f"SELECT count(*), 0, NULL, NULL FROM {TABLES[table].name}"
        rows, clients, first, last = self.connection.execute(query).fetchall()[0]
        return Span(rows, clients, _aware(first), _aware(last))

    def clients(self, listed: np.ndarray | None = None) -> int:
        """Count the clients with any event.

        Parameters
        ----------
        listed : ndarray of int64, optional
            Only these; all by default.
        """
        only = ""
        if listed is not None:
            self.connection.register("listed", pa.table({"client_id": listed}))
            only = "SEMI JOIN listed USING (client_id)"
        parts = " UNION ".join(f"SELECT client_id FROM {name} {only}" for name in EVENT_TYPES)
        found = self.connection.execute(f"SELECT count(*) FROM ({parts})").fetchall()[0][0]
        self.connection.unregister("listed")
        return int(found)

    def busiest(self) -> tuple[int | str, float] | None:
        """Find the client with most events, by the shop's id, and its share of all events."""
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

    def event_times(self) -> tuple[datetime, datetime]:
        """Find the times of the first and the last event.

        Raises
        ------
        UBPError
            If there is no event at all.
        """
        parts = " UNION ALL ".join(
            f"SELECT min(timestamp) AS first, max(timestamp) AS last FROM {name}"
            for name in EVENT_TYPES
        )
        times = self.connection.execute(f"SELECT min(first), max(last) FROM ({parts})").fetchall()
        first, last = map(_aware, times[0])
        if first is None or last is None:
            raise UBPError("the warehouse holds no events: run `ubp ingest SOURCE` first")
        return first, last

    def identity(self, cutoff: datetime) -> str:
        """Name what a history at a cutoff is made of: equal names, equal histories.

        Later batches whose events all lie at or after the cutoff change nothing.

        Returns
        -------
        str
            A SHA-256 over the contributing files' contents, the cutoff, and the relevant clients.
        """
        rows = self.connection.execute(
            """SELECT table_name, sha256 FROM batch_file
               WHERE rows_landed > 0 AND (first_event IS NULL OR first_event < ?)
               ORDER BY batch_id, table_name, sha256""",
            [cutoff.astimezone(UTC).replace(tzinfo=None)],
        ).fetchall()
        parts = [cutoff.astimezone(UTC).isoformat(), *(f"{name}:{digest}" for name, digest in rows)]
        digest = hashlib.sha256("\n".join(parts).encode())
        if self.relevant is not None:
            digest.update(np.ascontiguousarray(self.relevant).data)
        return digest.hexdigest()

    def default_cutoff(self) -> datetime:
        """Give the midnight after the last event."""
        _, last = self.event_times()
        return last.replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1)


def _aware(time: datetime | None) -> datetime | None:
    return None if time is None else time.replace(tzinfo=UTC)


def _create(path: Path) -> None:
    """Make the file with its tables, where there is none; it appears whole or not at all."""
    if path.exists():
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".warehouse-", dir=path.parent) as directory:
        unfinished = Path(directory) / path.name
        with duckdb.connect(unfinished) as connection:
            connection.execute(_BOOKKEEPING)
            for table in TABLES.values():
                needed = [name for name in table.columns if name not in table.optional]
                columns = ", ".join(
                    f"{name} {kind}{' NOT NULL' * (name in needed)}"
                    for name, kind in table.stored.items()
                )
                connection.execute(
                    f"CREATE TABLE {table.name} ({columns}, batch_id INTEGER NOT NULL)"
                )
            # Closing would write it, too, but be silent where the disk is full.
            connection.execute("CHECKPOINT")
        # Another process may have been quicker; a link does not replace its file.
        with suppress(FileExistsError):
            path.hardlink_to(unfinished)


def _bring_up_to_date(connection: duckdb.DuckDBPyConnection) -> None:
    """Add what a warehouse of an earlier release lacks."""
    connection.execute(_RETRACTED)
    identifiers.create_tables(connection)
    values.create_tables(connection)
    for table in TABLES.values():
        for name in table.details:
            connection.execute(
                f"ALTER TABLE {table.name} ADD COLUMN IF NOT EXISTS {name} {table.stored[name]}"
            )
        for name in table.optional:
            connection.execute(f"ALTER TABLE {table.name} ALTER {name} DROP NOT NULL")


def _is_up_to_date(connection: duckdb.DuckDBPyConnection) -> bool:
    """Whether a warehouse has all that :func:`_bring_up_to_date` adds."""
    rows = connection.execute(
        """SELECT count(*) FROM duckdb_columns()
           WHERE table_name = 'text_code' AND column_name = 'codes'
                 OR table_name = 'page_visit' AND column_name = 'known_from'
                 OR table_name = 'retracted' AND column_name = 'batch_id'"""
    ).fetchall()
    return bool(rows[0][0] == 3)


def _connect(path: Path, write: bool) -> duckdb.DuckDBPyConnection:
    try:
        return duckdb.connect(path, read_only=not write)
    except duckdb.IOException as error:
        if "Could not set lock" not in str(error):
            raise UBPError(f"cannot open {path}: {str(error).splitlines()[0]}") from None
        holder = re.search(r"PID (\d+)", str(error))
        process = f"process {holder[1]}" if holder else "another process"
        raise WarehouseBusy(
            f"{path} is in use by {process}: wait until it has finished, then try again"
        ) from None
