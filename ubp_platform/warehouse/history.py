"""What blocks may see: the events strictly before a cutoff.

Everything is read through the views of :mod:`~ubp_platform.warehouse.views`, which end at the
cutoff.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import cached_property
from importlib import resources
from typing import Self

import duckdb
import numpy as np
import pyarrow as pa

from ubp_platform.errors import BlockUnavailable
from ubp_platform.events.schema import EVENT_TYPES
from ubp_platform.times import aware_utc, parse_time
from ubp_platform.warehouse.delivery_times import EVERYTHING, Known
from ubp_platform.warehouse.frames import Frame, database_of
from ubp_platform.warehouse.interactions import Interactions, read_interactions
from ubp_platform.warehouse.sequences import (
    Sequences,
    Vocabulary,
    read_sequences,
    read_vocabulary,
)
from ubp_platform.warehouse.views import create_views, select_relevant

#: The number of clients whose events, vectors and texts are in memory at once.
CLIENTS_PER_SLICE = 32_768


class History:
    """The events strictly before a cutoff.

    Parameters
    ----------
    connection : DuckDBPyConnection
        The warehouse; the history reads through a cursor of its own.
    cutoff : datetime
        Aware; the first instant that is excluded.
    clients : ndarray of int64, optional
        The relevant clients; all by default. They limit whose sequences, rows and features are
        returned, not what is counted over all clients (vocabularies, popularity).
    start : datetime, optional
        Aware; the first instant that is included. By default the first event.
    known : Known
        By default everything that has landed by now belongs to the history, however late it came.
    """

    def __init__(
        self,
        connection: duckdb.DuckDBPyConnection,
        cutoff: datetime,
        clients: np.ndarray | None = None,
        start: datetime | None = None,
        known: Known = EVERYTHING,
    ) -> None:
        self.cutoff = cutoff.astimezone(UTC)
        self._connection = connection.cursor()
        self._relevant = None if clients is None else np.unique(clients)
        self._start = start and start.astimezone(UTC)
        self._known = known
        create_views(self._connection, self.cutoff, self._relevant, self._start, known)

    @classmethod
    def of(
        cls,
        frames: Mapping[str, Frame],
        cutoff: datetime | str,
        clients: np.ndarray | None = None,
    ) -> Self:
        """Create a history from DataFrames or Parquet files, without a warehouse.

        Parameters
        ----------
        frames : mapping of str to DataFrame, pyarrow.Table or path
            By table name: ``product_buy``, …, ``product_properties``. Each has the table's
            columns: integers, times (UTC where they name no zone), lists of codes.
        cutoff : datetime or str
            As above; UTC if it names no zone.
        clients : ndarray of int64, optional
            The relevant clients; all by default.

        Raises
        ------
        UBPError
            If a table or column is not what it should be.

        Examples
        --------
        >>> import pandas as pd
        >>> buys = pd.DataFrame({"client_id": [1, 1, 2], "sku": [7, 8, 7]})
        >>> buys["timestamp"] = pd.to_datetime(["2017-11-01", "2017-11-05", "2017-11-06"])
        >>> History.of({"product_buy": buys}, cutoff="2017-11-06").counts["product_buy"]
        2
        """
        return cls(database_of(frames), parse_time(str(cutoff)), clients)

    @contextmanager
    def until(
        self, cutoff: datetime, start: datetime | None = None, clients: np.ndarray | None = None
    ) -> Iterator[Self]:
        """Open a part of this history as a history of its own, closed with the ``with`` block.

        Parameters
        ----------
        cutoff : datetime
            The first instant that is excluded; not after this history's cutoff.
        start : datetime, optional
            The first instant that is included; not before this history's start, the default.
        clients : ndarray of int64, optional
            The relevant clients; by default those of this history.

        Raises
        ------
        ValueError
            If the part extends beyond this history.
        """
        if cutoff > self.cutoff:
            raise ValueError(f"{cutoff} is after the cutoff of the history, {self.cutoff}")
        if start and self._start and start < self._start:
            raise ValueError(f"{start} is before the start of the history, {self._start}")
        relevant = self._relevant if clients is None else clients
        part = type(self)(self._connection, cutoff, relevant, start or self._start, self._known)
        try:
            yield part
        finally:
            part.close()

    @cached_property
    def first(self) -> datetime | None:
        """The time of the first event of any client, if there is one."""
        query = "SELECT min(timestamp) FROM event"
        return aware_utc(self._connection.execute(query).fetchall()[0][0])

    @cached_property
    def last(self) -> datetime | None:
        """The time of the last event of any client, if there is one."""
        query = "SELECT max(timestamp) FROM event"
        return aware_utc(self._connection.execute(query).fetchall()[0][0])

    @cached_property
    def clients(self) -> np.ndarray:
        """The relevant clients, int64, ascending; by default all clients with an event."""
        if self._relevant is not None:
            return self._relevant
        return self.clients_with(EVENT_TYPES)

    def clients_with(self, event_types: Sequence[str]) -> np.ndarray:
        """Return the relevant clients with an event of any of these types, int64, ascending."""
        parts = " UNION ALL ".join(f"SELECT client_id FROM relevant_{name}" for name in event_types)
        query = f"SELECT DISTINCT client_id FROM ({parts}) ORDER BY client_id"
        found: np.ndarray = self._connection.sql(query).to_arrow_table()["client_id"].to_numpy()
        return found

    def slices(self, size: int = CLIENTS_PER_SLICE) -> Iterator[tuple[int, Self]]:
        """Narrow this history to one slice of the relevant clients after another.

        Counts over all clients do not change.

        Parameters
        ----------
        size : int
            The number of clients per slice.

        Yields
        ------
        clients : int
            The number of clients in the slice.
        history : History
            This history, narrowed to the slice until the next one is requested.
        """
        everybody = self.clients
        try:
            for start in range(0, max(len(everybody), 1), size):
                part = everybody[start : start + size]
                select_relevant(self._connection, part)
                yield len(part), self
        finally:
            select_relevant(self._connection, self._relevant)

    @cached_property
    def counts(self) -> dict[str, int]:
        """The number of events of each type, of all clients."""
        query = " UNION ALL ".join(f"SELECT count(*) FROM {name}" for name in EVENT_TYPES)
        rows = self._connection.execute(query).fetchall()
        return {name: count for name, (count,) in zip(EVENT_TYPES, rows, strict=True)}

    def require(self, event_types: Sequence[str]) -> None:
        """Check that there is an event of at least one of these types.

        Raises
        ------
        BlockUnavailable
            If there is none.
        """
        if not any(self.counts[name] for name in event_types):
            names = " or ".join(event_types)
            raise BlockUnavailable(f"no {names} events before {self.cutoff:%Y-%m-%d %H:%M:%S}")

    def vocabulary(
        self, field: str, size: int | None = None, event_types: Sequence[str] = EVENT_TYPES
    ) -> Vocabulary:
        """Collect the most frequent values of a field, over all clients.

        Parameters
        ----------
        field : str
            A key of :data:`~ubp_platform.warehouse.sequences.FIELDS`; ``day`` and ``week`` are
            counted back from the cutoff, 0 being the day (week) that ends there.
        size : int, optional
            The number of values to keep; all by default.
        event_types : sequence of str
            The events to count.
        """
        return read_vocabulary(self._connection, field, size, event_types)

    def sequences(
        self,
        vocabularies: Mapping[str, Vocabulary],
        last: int,
        event_types: Sequence[str] = EVENT_TYPES,
    ) -> Sequences:
        """Return the last events of each relevant client as tokens, in time order.

        Events at the same instant are ordered by event type, then by what they touched.

        Parameters
        ----------
        vocabularies : mapping of str to Vocabulary
            The vocabulary of each field to read; other values become ``RARE``.
        last : int
            The number of events to keep per client, the newest ones.
        event_types : sequence of str
            The events to read.
        """
        return read_sequences(self._connection, vocabularies, last, event_types)

    def interactions(
        self, item: str, weights: Mapping[str, float], items: np.ndarray | None = None
    ) -> Interactions:
        """Sum the weights of each relevant client's events by item.

        Parameters
        ----------
        item : str
            The column: ``category``, ``sku``, ``url`` or ``price``.
        weights : mapping of str to float
            The weight of one event of each type; other types are left out.
        items : ndarray of int64, optional
            The columns of the matrix, ascending; by default every item of the relevant clients.
        """
        return read_interactions(self._connection, item, weights, items)

    def table(self, name: str, **parameters: int) -> pa.Table:
        """Run a query of ``warehouse/sql/`` over this history.

        Parameters
        ----------
        name : str
            The file's stem.
        **parameters
            Values for the query's ``$name`` placeholders.
        """
        return self.query(query_text(name), parameters)

    def query(
        self,
        text: str,
        parameters: Mapping[str, int] | None = None,
        counted: Sequence[str] = (),
        given: Mapping[str, pa.Table] | None = None,
    ) -> pa.Table:
        """Run a query over this history.

        The query can read the event tables up to the cutoff under their own names, those of the
        relevant clients as ``relevant_…``, all types together as ``event`` and ``relevant_event``
        (with category, price and day), ``product_properties``, and ``cutoff`` (one row). ``day``
        counts back from the cutoff; day 0 is the 24 hours that end there.

        Parameters
        ----------
        text : str
            One ``SELECT``; never user input.
        parameters : mapping of str to int, optional
            Values for the query's ``$name`` placeholders.
        counted : sequence of str
            Stems of files in ``warehouse/sql/`` that the query reads by name. They are run once
            per history, even if it is read slice by slice.
        given : mapping of str to pyarrow.Table, optional
            Further tables that the query reads by name.
        """
        for name in counted:
            self._connection.execute(
                f"CREATE TEMP TABLE IF NOT EXISTS {name} AS {query_text(name)}"
            )
        self._register(given)
        return self._connection.sql(text, params=dict(parameters or {})).to_arrow_table()

    def columns(
        self, text: str, counted: Sequence[str] = (), given: Mapping[str, pa.Table] | None = None
    ) -> dict[str, str]:
        """Return the columns of a query and their DuckDB types, without running it.

        Parameters
        ----------
        text, counted, given
            As in :meth:`query`.
        """
        self._register(given)
        for name in counted:
            text = f"WITH {name} AS ({query_text(name)}\n) FROM ({text}\n)"
        described = self._connection.sql(text)
        return {
            name: str(kind) for name, kind in zip(described.columns, described.types, strict=True)
        }

    def _register(self, given: Mapping[str, pa.Table] | None) -> None:
        for name, table in (given or {}).items():
            self._connection.register(name, table)

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()


def query_text(name: str) -> str:
    """Read a query of ``warehouse/sql/`` by the file's stem."""
    return resources.files(__package__).joinpath("sql", f"{name}.sql").read_text("utf-8")
