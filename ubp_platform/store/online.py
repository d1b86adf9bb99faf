"""The online store of a home: profiles of one publish, and which publish is read.

Each publish writes into a view of its own, ``profile_v1_p7``, and at last the row of
``publications`` that names it. So readers see one publish or another on every store, however many
clients they ask for, and a publish can be checked before anybody reads it. The publish before stays
until the next one begins, for readers that had started with it.
"""

import os
import sqlite3
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager, nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from time import monotonic, sleep
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from feast import FeatureView
from feast.protos.feast.types.Value_pb2 import Value
from feast.repo_config import RepoConfig
from google.protobuf.message import DecodeError

from ubp_platform.blocks.snapshot import EMBEDDING
from ubp_platform.errors import StoreUnavailable, UBPError, first_line
from ubp_platform.files import make_directory, restrict
from ubp_platform.home import Home
from ubp_platform.store import feast_internals as feast
from ubp_platform.store.entities import ClientId
from ubp_platform.store.feature_store import repo_config
from ubp_platform.store.objects import CLIENT, PROFILE, STATE, publications_view
from ubp_platform.store.publication import Publication
from ubp_platform.store.stored_rows import StoredRows, profile_of

# Rows per query; SQLite accepts at most 32,766 values.
_ROWS = 1000
# How long a reader of SQLite may keep removed rows in the log.
_SECONDS_FOR_READERS = 10.0


@dataclass(frozen=True)
class OnlineProfile:
    """A client's row: the profile's cutoff and its numbers, float32."""

    cutoff: datetime
    vector: np.ndarray


class OnlineStore:
    """The online store of a home, through Feast.

    Parameters
    ----------
    home : Home

    Raises
    ------
    UBPError
        If the configuration or the connection string is invalid; no server is contacted.
    """

    def __init__(self, home: Home) -> None:
        self._open(repo_config(home))

    def __getstate__(self) -> RepoConfig:
        return self.config

    def __setstate__(self, config: RepoConfig) -> None:
        """Connect again, in another process: a copy shares nothing with the original."""
        self._open(config)

    def _open(self, config: RepoConfig) -> None:
        self.config = config
        self._provider = feast.provider_of(self.config)
        self._publications = publications_view()
        # SQLite's connection sees what others write only between queries: those of threads must not
        # overlap without end.
        self._alone = nullcontext() if self._file is None else threading.RLock()
        self._rows = StoredRows(self._provider, self.config, CLIENT)
        self._inode = 0
        # What is online, and the state of SQLite's file in which it was read.
        self._known: tuple[object, dict[str, Publication | None]] = (None, {})
        if feast.is_redis(self.config):
            from ubp_platform.store.redis import prepare

            prepare(self._provider, self.config)

    @property
    def kind(self) -> str:
        """The type of the store: ``sqlite``, ``redis``, …."""
        return str(self.config.online_store.type)

    @property
    def exists(self) -> bool:
        """Whether there is a store to read; opening SQLite's would create it."""
        return self._file is None or self._file.exists()

    @property
    def where(self) -> str:
        """The store in words, without a password."""
        if self._file:
            return str(self._file)
        if not feast.is_redis(self.config):
            return self.kind
        from ubp_platform.store.redis import describe_server

        return describe_server(self.config.online_store.connection_string)

    @property
    def evicts(self) -> str:
        """The policy by which a full store drops rows; empty if it does not."""
        if not feast.is_redis(self.config):
            return ""
        from ubp_platform.store.redis import evicts

        return evicts(self._provider, self.config)

    @cached_property
    def _file(self) -> Path | None:
        return Path(self.config.online_store.path) if self.kind == "sqlite" else None

    def create(self, view: FeatureView) -> None:
        """Prepare the store for a view."""
        with self.one_line_errors():
            if self._file:
                make_directory(self._file.parent)
                self._execute("PRAGMA journal_mode=WAL")
                restrict(self._file)
            feast.create_table(self._provider, self.config, view)

    def drop(self, view: FeatureView, client_ids: Iterable[Sequence[ClientId]]) -> None:
        """Remove a view's rows.

        Parameters
        ----------
        view : FeatureView
        client_ids : iterable of sequence of int or str
            The clients that it may have rows of, in slices.
        """
        keys = ([_client(one) for one in part] for part in client_ids)
        with self.one_line_errors():
            feast.drop_table(self._provider, self.config, view, keys)

    def write(
        self,
        view: FeatureView,
        client_ids: Sequence[ClientId],
        cutoff: datetime,
        vectors: np.ndarray,
    ) -> None:
        """Write the profiles of some clients, float32 of shape (n_clients, width)."""
        values = feast.profile_messages(client_ids, cutoff, vectors)
        rows: list[feast.Row] = [
            (_client(one), {EMBEDDING: value}, cutoff, None)
            for one, value in zip(client_ids, values, strict=True)
        ]
        with self.one_line_errors():
            self._provider.online_write_batch(self.config, view, rows, progress=None)

    def remove_clients(self, client_ids: Sequence[ClientId]) -> None:
        """Remove the rows of clients from all views, and their bytes from SQLite's file.

        Raises
        ------
        UBPError
            If the store does not answer, or cannot remove single rows, or another program holds
            on to what SQLite's log keeps.
        """
        with self.one_line_errors():
            for start in range(0, len(client_ids), _ROWS):
                keys = [_client(one) for one in client_ids[start : start + _ROWS]]
                if not feast.remove_rows(self._provider, self.config, keys):
                    raise UBPError(
                        f"the online store {self.kind} cannot remove single clients here: remove "
                        "them from it by its own means, or use sqlite or redis"
                    )
        self.shrink()
        if self._file and self._file.exists():
            until = monotonic() + _SECONDS_FOR_READERS
            while self.flush():
                if monotonic() > until:
                    raise UBPError(
                        f"another program has been reading {self._file} for some time, so that "
                        "removed rows stay in its log: end that program"
                    )
                sleep(0.2)

    def flush(self) -> bool:
        """Shorten SQLite's log, which is as large as what was written; say if that is hindered."""
        if not self._file:
            return False
        with self.one_line_errors():
            return bool(self._execute("PRAGMA wal_checkpoint(TRUNCATE)")[0][0])

    def shrink(self) -> None:
        """Give the room of removed rows in SQLite's file back."""
        if self._file and self._file.exists():
            with self.one_line_errors():
                self._execute("VACUUM")
            self.flush()

    def count(self, view: FeatureView, client_ids: Iterable[Sequence[ClientId]]) -> int | None:
        """Count a view's rows of these clients; None where the store cannot say."""
        keys = ([_client(one) for one in part] for part in client_ids)
        with self.one_line_errors():
            return feast.count_rows(self._provider, self.config, view, keys)

    def read(
        self, view: FeatureView, client_ids: Sequence[ClientId]
    ) -> Iterator[OnlineProfile | None]:
        """Read the profiles of some clients; None for those who have none.

        Raises
        ------
        UBPError
            If the store does not answer, or a profile is not what was written.
        """
        for start in range(0, len(client_ids), _ROWS):
            part = client_ids[start : start + _ROWS]
            if not self._rows.can_be_read:
                yield from self._read_through_feast(view, part)
                continue
            with self._alone, self.one_line_errors():
                messages = self._rows.read(view, part)
            for client_id, message in zip(part, messages, strict=True):
                yield None if message is None else self._of_message(view, client_id, message)

    def _of_message(
        self, view: FeatureView, client_id: ClientId, message: bytes
    ) -> OnlineProfile | None:
        try:
            found = profile_of(client_id, message)
        except ValueError:
            raise self._damaged(client_id) from None
        if found is None:  # of an earlier release, or damaged
            return next(self._read_through_feast(view, [client_id]))
        return OnlineProfile(*found)

    def _read_through_feast(
        self, view: FeatureView, client_ids: Sequence[ClientId]
    ) -> Iterator[OnlineProfile | None]:
        with self.one_line_errors():
            try:
                rows = self._provider.online_read(
                    self.config, view, [_client(one) for one in client_ids], [EMBEDDING]
                )
            except DecodeError:
                raise self._damaged(client_ids[0]) from None
        for client_id, (time, values) in zip(client_ids, rows, strict=True):
            yield self._profile(client_id, time, (values or {}).get(EMBEDDING))

    def _profile(
        self, client_id: ClientId, time: datetime | None, value: Value | None
    ) -> OnlineProfile | None:
        if time is None or value is None or value.WhichOneof("val") is None:
            return None
        try:
            return OnlineProfile(*feast.profile_of(client_id, value, time))
        except ValueError:
            raise self._damaged(client_id) from None

    def _damaged(self, client_id: ClientId) -> UBPError:
        return UBPError(
            f"{self.where}: the profile of client {client_id} is damaged: `ubp publish --all` "
            "writes all profiles again"
        )

    def join(self, view: FeatureView, keys: pd.DataFrame) -> pa.Table:
        """Join rows with the newest profile that is not after each, from the offline store."""
        return feast.historical_features(
            self._provider, self.config, view, [EMBEDDING], keys
        ).to_arrow()

    def publication(self, version: str) -> Publication | None:
        """Return what is online of a profile version; None if nothing ever was."""
        with self._alone:
            if not self._follow_file():
                return None
            with self.one_line_errors():
                state = feast.state_of(self._provider, self.config)
            if state is None or state != self._known[0]:
                self._known = (state, {})
            known = self._known[1]
            if version not in known:
                known[version] = self._read_publication(version)
            return known[version]

    def _follow_file(self) -> bool:
        """Whether the store is there; if SQLite's file is another one than before, open that."""
        if self._file is None:
            return True
        try:
            inode = os.stat(self._file).st_ino  # noqa: PTH116 - in a lookup
        except FileNotFoundError:
            inode = 0
        if inode != self._inode:
            feast.forget_connection(self._provider)
            self._inode, self._known = inode, (None, {})
        return inode != 0

    def _read_publication(self, version: str) -> Publication | None:
        key = feast.entity_key(PROFILE, version)
        with self.one_line_errors():
            try:
                rows = self._provider.online_read(self.config, self._publications, [key], [STATE])
            except sqlite3.OperationalError as error:
                if "no such table" in str(error):
                    return None
                raise
        _, values = rows[0]
        text = (values or {}).get(STATE, Value()).string_val
        return Publication.model_validate_json(text) if text else None

    def announce(self, version: str, publication: Publication) -> None:
        """Say what is online of a profile version; readers see it from now on."""
        self.create(self._publications)
        value = Value(string_val=publication.model_dump_json())
        row: feast.Row = (
            feast.entity_key(PROFILE, version),
            {STATE: value},
            datetime.now(UTC),
            None,
        )
        with self.one_line_errors():
            self._provider.online_write_batch(self.config, self._publications, [row], progress=None)

    def _execute(self, statement: str) -> list[tuple[Any, ...]]:
        with closing(sqlite3.connect(str(self._file))) as connection:
            return connection.execute(statement).fetchall()

    @contextmanager
    def one_line_errors(self) -> Iterator[None]:
        """Turn errors of the store into one line.

        Raises
        ------
        StoreUnavailable
            Names the server or file, without a password, and the way out.
        """
        if feast.is_redis(self.config):
            from ubp_platform.store.redis import one_line_errors_of_redis

            with one_line_errors_of_redis(self.config.online_store):
                yield
            return
        try:
            yield
        except sqlite3.DatabaseError as error:
            advice = "`ubp publish --all` writes the online store again"
            if self._file and not os.access(self._file, os.W_OK):
                advice = "readers of SQLite need write access to the file and its directory"
            elif not isinstance(error, sqlite3.OperationalError):
                advice = f"remove {self._file}, then {advice}"
            raise StoreUnavailable(f"{self._file}: {first_line(error)}; {advice}") from None


def _client(client_id: ClientId) -> Any:
    return feast.entity_key(CLIENT, client_id)
