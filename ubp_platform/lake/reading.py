"""A bucket of a lake, in a DuckDB of its own, as the same history as in the warehouse."""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from datetime import datetime
from typing import Any, NoReturn, Self

import duckdb
import numpy as np
import pyarrow as pa

from ubp_platform.engine.parcel import private_directory
from ubp_platform.errors import DamagedFile, UBPError
from ubp_platform.events.schema import EVENT_CODES, EVENT_TYPES, EVENTS
from ubp_platform.lake.manifest import CURE, LakeFile, Manifest
from ubp_platform.lake.place import Place
from ubp_platform.lake.writing import COLUMNS
from ubp_platform.warehouse.casts import quoted
from ubp_platform.warehouse.connection import configure
from ubp_platform.warehouse.delivery_times import EVERYTHING, Known
from ubp_platform.warehouse.history import History

# The views of all clients' events, of which a bucket has a part: `relevant_…` are to be read. And
# the functions that read any table.
_OF_ALL = {"event", *EVENT_TYPES, "query", "query_table"}
# The columns of a bucket's files.
_COLUMNS = ", ".join(
    f"{name} {kind}"
    for name, kind in {"event_type": "TINYINT", **COLUMNS, "batch_id": "INTEGER"}.items()
)


class BucketHistory(History):
    """The history of a bucket's clients.

    What is counted over all clients is given: a bucket does not know it, and refuses to guess.

    Parameters
    ----------
    connection, cutoff, clients, known
        As of :class:`~ubp_platform.warehouse.history.History`.
    counted : mapping of str to pyarrow.Table
        The tables of :meth:`History.query`'s parameter of that name, counted over all clients.
    """

    def __init__(
        self,
        connection: duckdb.DuckDBPyConnection,
        cutoff: datetime,
        clients: np.ndarray | None = None,
        known: Known = EVERYTHING,
        counted: Mapping[str, pa.Table] | None = None,
    ) -> None:
        super().__init__(connection, cutoff, clients, known=known)
        for name, table in (counted or {}).items():
            self._register({f"given_{name}": table})
            self._connection.execute(f"CREATE TEMP TABLE {name} AS FROM given_{name}")
            self._connection.unregister(f"given_{name}")
        self._counted = {*(counted or {})}

    def query(
        self,
        text: str,
        parameters: Mapping[str, int] | None = None,
        counted: Sequence[str] = (),
        given: Mapping[str, pa.Table] | None = None,
    ) -> pa.Table:
        """Run a query over this history, as :meth:`History.query` does."""
        if named := _OF_ALL & {*self._named(text)}:
            _refuse(f"`{min(named)}` of a query")
        if missing := [name for name in counted if name not in self._counted]:
            _refuse(missing[0])
        return super().query(text, parameters, counted, given)

    def _named(self, text: str) -> Iterator[str]:
        """Yield the tables that a query names, and the functions that it reads as tables."""
        run = self._connection.execute("SELECT json_serialize_sql(?::VARCHAR)", [text])
        ahead: list[Any] = [json.loads(run.fetchall()[0][0])]
        while ahead:
            match ahead.pop():
                case {"type": "BASE_TABLE", "table_name": str(name), **rest}:
                    yield name.lower()
                    ahead += rest.values()
                case {"function_name": str(name), **rest}:
                    yield name.lower()
                    ahead += rest.values()
                case dict() as found:
                    ahead += found.values()
                case list() as found:
                    ahead += found

    @property
    def first(self) -> NoReturn:
        """Not known here."""
        _refuse("the time of the first event")

    @property
    def last(self) -> NoReturn:
        """Not known here."""
        _refuse("the time of the last event")

    @property
    def counts(self) -> NoReturn:
        """Not known here."""
        _refuse("the number of events")

    def vocabulary(self, *arguments: object, **options: object) -> NoReturn:
        """Refuse: frequencies are those of all clients."""
        _refuse("a vocabulary")

    def until(self, *arguments: object, **options: object) -> NoReturn:
        """Refuse: what would be counted over all clients of a part is not known here."""
        _refuse("a part of the history")


def _refuse(what: str) -> NoReturn:
    raise UBPError(
        f"{what} is of all clients, and was asked for while some were encoded: let the block learn "
        "it in its fit, or encode without --engine ray"
    )


class LakeReader:
    """A DuckDB with what all buckets share, that opens one bucket after the other.

    Parameters
    ----------
    place : Place
    manifest : Manifest

    Raises
    ------
    DamagedFile
        If a file is damaged or missing.
    """

    def __init__(self, place: Place, manifest: Manifest) -> None:
        self._place, self._manifest = place, manifest
        spilled = str(private_directory())
        self._connection = duckdb.connect(config={"temp_directory": spilled})
        configure(self._connection)
        for name, file in manifest.tables.items():
            self._load(name, [file])

    def _load(self, table: str, files: Sequence[LakeFile], clients: str = "") -> None:
        with ExitStack() as stack:
            paths = []
            for file in files:
                try:
                    path = stack.enter_context(self._place.reading(file.name))
                    file.check(path)
                except FileNotFoundError:
                    raise DamagedFile(
                        f"{self._place}/{file.name} is not to be seen here: is the lake where all "
                        f"workers see it (the setting UBP_LAKE)? Else {CURE}"
                    ) from None
                paths.append(quoted(path))
            self._connection.execute(
                f"""CREATE OR REPLACE TABLE {table} AS
                    FROM read_parquet([{", ".join(paths)}]) {clients}"""
            )

    def open(self, first: int, last: int, clients: np.ndarray | None = None) -> Self:
        """Read the events of buckets that follow each other, by default of all clients."""
        buckets, only = self._manifest.buckets[first : last + 1], ""
        if clients is not None:
            self._connection.register("opened_client", pa.table({"client_id": clients}))
            only = "SEMI JOIN opened_client USING (client_id)"
        if files := [file for one in buckets for file in one.files]:
            self._load("bucket_event", files, only)
        else:  # all of its clients are gone
            self._connection.execute(f"CREATE OR REPLACE TABLE bucket_event ({_COLUMNS})")
        # The files of a bucket overlap.
        ordered = all(len(one.files) == 1 for one in buckets)
        order = "" if ordered else "ORDER BY client_id, timestamp"
        for table in EVENTS:
            columns = ", ".join(f"{name}::{kind} AS {name}" for name, kind in table.stored.items())
            self._connection.execute(
                f"""CREATE OR REPLACE TABLE {table.name} AS
                    SELECT {columns}, batch_id FROM bucket_event
                    WHERE event_type = {EVENT_CODES[table.name]} {order}"""
            )
        self._connection.execute("DROP TABLE bucket_event")
        return self

    def history(
        self,
        cutoff: datetime,
        clients: np.ndarray | None = None,
        known: Known = EVERYTHING,
        counted: Mapping[str, pa.Table] | None = None,
    ) -> BucketHistory:
        """Return the history of the open buckets' clients; all of them by default."""
        return BucketHistory(self._connection, cutoff, clients, known, counted)
