"""What blocks may see: the events strictly before a cutoff, as arrays.

All is read through the views of :mod:`~ubp_platform.warehouse.views`, which end at the cutoff.
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
from scipy import sparse

from ubp_platform.errors import BlockUnavailable
from ubp_platform.events.schema import EVENT_CODES, EVENT_TYPES
from ubp_platform.times import parse_time
from ubp_platform.warehouse.arrays import Interactions, Sequences, Vocabulary
from ubp_platform.warehouse.frames import Frame, database_of
from ubp_platform.warehouse.views import create_views, show_relevant

#: So many clients' events, vectors and texts are in memory at once, when they are taken in slices.
CLIENTS_A_SLICE = 32_768

# Fields of a sequence, as expressions over the view `event`.
FIELDS = {
    "event_type": "event_type",
    "category": "category",
    "price": "price",
    "sku": "sku",
    "url": "url",
    "day": "day",
    "week": "day // 7",
}


class History:
    """The events strictly before a cutoff.

    Parameters
    ----------
    connection : DuckDBPyConnection
        The warehouse; a connection of its own is made from it.
    cutoff : datetime
        Aware; the first instant that is not seen.
    clients : ndarray of int64, optional
        The relevant clients; all by default. They limit whose sequences, rows and features are
        given, not what is counted over all clients (vocabularies, popularity).
    start : datetime, optional
        Aware; the first instant that is seen. By default it begins with the first event.
    """

    def __init__(
        self,
        connection: duckdb.DuckDBPyConnection,
        cutoff: datetime,
        clients: np.ndarray | None = None,
        start: datetime | None = None,
    ) -> None:
        self.cutoff = cutoff.astimezone(UTC)
        self._connection = connection.cursor()
        self._relevant = None if clients is None else np.unique(clients)
        self._start = start and start.astimezone(UTC)
        create_views(self._connection, self.cutoff, self._relevant, self._start)

    @classmethod
    def of(
        cls,
        frames: Mapping[str, Frame],
        cutoff: datetime | str,
        clients: np.ndarray | None = None,
    ) -> Self:
        """Make a history of DataFrames or Parquet files, without a warehouse.

        Parameters
        ----------
        frames : mapping of str to DataFrame, pyarrow.Table or path
            By the name of the table: ``product_buy``, …, ``product_properties``. Each has the
            table's columns: whole numbers, times (without a zone they are UTC), lists of codes.
        cutoff : datetime or str
            As above; without a zone it is UTC.
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
        """Look at a part of this history, as a history of its own; it ends with the block.

        Parameters
        ----------
        cutoff : datetime
            The first instant that the part does not see; not after this history's own.
        start : datetime, optional
            The first instant that it sees; not before this history's own, which is the default.
        clients : ndarray of int64, optional
            Its relevant clients; by default those of this history.

        Raises
        ------
        ValueError
            If the part reaches past this history.
        """
        if cutoff > self.cutoff:
            raise ValueError(f"{cutoff} is after the cutoff of the history, {self.cutoff}")
        if start and self._start and start < self._start:
            raise ValueError(f"{start} is before the start of the history, {self._start}")
        relevant = self._relevant if clients is None else clients
        part = type(self)(self._connection, cutoff, relevant, start or self._start)
        try:
            yield part
        finally:
            part.close()

    @cached_property
    def first(self) -> datetime | None:
        """The time of the first event of any client, if there is one."""
        query = "SELECT min(timestamp) FROM event"
        found = self._connection.execute(query).fetchall()[0][0]
        return None if found is None else found.replace(tzinfo=UTC)

    @cached_property
    def clients(self) -> np.ndarray:
        """The relevant clients, int64, ascending; those with an event where none were given."""
        if self._relevant is not None:
            return self._relevant
        return self.clients_with(EVENT_TYPES)

    def clients_with(self, event_types: Sequence[str]) -> np.ndarray:
        """List the relevant clients with an event of any of these types, int64, ascending."""
        parts = " UNION ALL ".join(f"SELECT client_id FROM relevant_{name}" for name in event_types)
        query = f"SELECT DISTINCT client_id FROM ({parts}) ORDER BY client_id"
        found = self._connection.sql(query).to_arrow_table()
        return _column(found, "client_id")

    def slices(self, size: int = CLIENTS_A_SLICE) -> Iterator[tuple[int, Self]]:
        """Narrow this history to some of the relevant clients after the other.

        What is counted over all clients stays as it is.

        Parameters
        ----------
        size : int
            Clients in a slice.

        Yields
        ------
        clients : int
            How many are in the slice.
        history : History
            This one, of the slice until the next is asked for.
        """
        everybody = self.clients
        try:
            for start in range(0, max(len(everybody), 1), size):
                part = everybody[start : start + size]
                show_relevant(self._connection, part)
                yield len(part), self
        finally:
            show_relevant(self._connection, self._relevant)

    @cached_property
    def counts(self) -> dict[str, int]:
        """The number of events of each type, of all clients."""
        query = " UNION ALL ".join(f"SELECT count(*) FROM {name}" for name in EVENT_TYPES)
        rows = self._connection.execute(query).fetchall()
        return {name: count for name, (count,) in zip(EVENT_TYPES, rows, strict=True)}

    def require(self, event_types: Sequence[str]) -> None:
        """Insist that there is an event of at least one of these types.

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
            A key of :data:`FIELDS`; ``day`` and ``week`` are counted back from the cutoff, 0 being
            the day (week) that ends there.
        size : int, optional
            How many values to keep; all by default.
        event_types : sequence of str
            Which events to count.

        Returns
        -------
        Vocabulary
        """
        limit = "" if size is None else f"LIMIT {size:d}"
        result = self._connection.execute(
            f"""SELECT ({FIELDS[field]})::BIGINT AS value FROM event
                WHERE value IS NOT NULL AND list_contains($codes, event_type)
                GROUP BY value ORDER BY count(*) DESC, value {limit}""",
            {"codes": [EVENT_CODES[name] for name in event_types]},
        ).fetchnumpy()
        return Vocabulary(field, np.asarray(result["value"], dtype=np.int64))

    def sequences(
        self,
        vocabularies: Mapping[str, Vocabulary],
        last: int,
        event_types: Sequence[str] = EVENT_TYPES,
    ) -> Sequences:
        """Give the last events of each relevant client as tokens, in time order.

        Events of the same instant are ordered by event type, then by what they touched; rows that
        agree in that too are alike.

        Parameters
        ----------
        vocabularies : mapping of str to Vocabulary
            The fields wanted, each with the values to know; others become ``RARE``.
        last : int
            How many events of a client to keep, the newest ones.
        event_types : sequence of str
            Which events to take.

        Returns
        -------
        Sequences
        """
        joins, tokens = [], []
        for field, vocabulary in vocabularies.items():
            known = pa.table(
                {
                    "value": vocabulary.values,
                    "token": np.arange(Vocabulary.FIRST, vocabulary.size, dtype=np.int32),
                }
            )
            self._connection.register(f"known_{field}", known)
            joins.append(f"LEFT JOIN known_{field} ON known_{field}.value = {FIELDS[field]}")
            tokens.append(
                f"""coalesce(known_{field}.token, CASE WHEN ({FIELDS[field]}) IS NULL
                    THEN {Vocabulary.MISSING} ELSE {Vocabulary.RARE} END)::INTEGER AS {field}"""
            )
        order = "timestamp, event_type, sku, url, query"
        newest_first = ", ".join(f"{column} DESC" for column in order.split(", "))
        # Of the values, not of the tokens that go by the same names in the result.
        oldest_first = ", ".join(f"recent.{column}" for column in order.split(", "))
        table = (
            self._connection.sql(
                f"""WITH recent AS (
                        SELECT * FROM relevant_event
                        WHERE list_contains($codes, event_type)
                        QUALIFY row_number() OVER (
                            PARTITION BY client_id ORDER BY {newest_first}) <= $last)
                    SELECT client_id, {", ".join(tokens)} FROM recent {" ".join(joins)}
                    ORDER BY client_id, {oldest_first}""",
                params={"codes": [EVENT_CODES[name] for name in event_types], "last": last},
            )
            .to_arrow_table()
            .combine_chunks()
        )
        client_ids, starts = np.unique(_column(table, "client_id"), return_index=True)
        return Sequences(
            client_ids=client_ids,
            offsets=np.append(starts, table.num_rows).astype(np.int64),
            fields={field: _column(table, field) for field in vocabularies},
        )

    def interactions(
        self, item: str, weights: Mapping[str, float], items: np.ndarray | None = None
    ) -> Interactions:
        """Sum the weights of each relevant client's events by item.

        Parameters
        ----------
        item : str
            The column: ``category``, ``sku``, ``url`` or ``price``.
        weights : mapping of str to float
            The weight of one event of each type; types not named are left out.
        items : ndarray of int64, optional
            The columns of the matrix, ascending; by default every item of the relevant clients.

        Returns
        -------
        Interactions
        """
        cases = " ".join(
            f"WHEN {EVENT_CODES[name]} THEN {float(weight)!r}" for name, weight in weights.items()
        )
        keep = "true"
        if items is not None:
            self._connection.register("known_item", pa.table({"value": items}))
            keep = f"{FIELDS[item]} IN (SELECT value FROM known_item)"
        table = (
            self._connection.sql(
                f"""SELECT client_id, ({FIELDS[item]})::BIGINT AS item,
                           sum(CASE event_type {cases} END)::FLOAT AS weight
                    FROM relevant_event
                    WHERE list_contains($codes, event_type) AND {FIELDS[item]} IS NOT NULL
                          AND {keep}
                    GROUP BY ALL ORDER BY client_id, item""",
                params={"codes": [EVENT_CODES[name] for name in weights]},
            )
            .to_arrow_table()
            .combine_chunks()
        )
        found = _column(table, "item")
        columns = np.unique(found) if items is None else items
        client_ids, starts = np.unique(_column(table, "client_id"), return_index=True)
        matrix = sparse.csr_matrix(
            (
                _column(table, "weight"),
                np.searchsorted(columns, found).astype(np.int32),
                np.append(starts, table.num_rows).astype(np.int32),
            ),
            shape=(len(client_ids), len(columns)),
        )
        return Interactions(client_ids, columns, matrix)

    def table(self, name: str, **parameters: int) -> pa.Table:
        """Run a query of ``warehouse/sql/`` over this history.

        Parameters
        ----------
        name : str
            The file's stem.
        **parameters
            Values for the query's ``$name`` placeholders.

        Returns
        -------
        pyarrow.Table
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

        It sees the event tables up to the cutoff under their own names, the same of the relevant
        clients as ``relevant_…``, ``event`` and ``relevant_event`` (all types in one, with
        category, price and day), ``product_properties``, and ``cutoff`` (one row). ``day`` counts
        back from the cutoff; day 0 is the 24 hours that end there.

        Parameters
        ----------
        text : str
            One ``SELECT``; never a user's text.
        parameters : mapping of str to int, optional
            Values for the query's ``$name`` placeholders.
        counted : sequence of str
            Files of ``warehouse/sql/`` that the query reads by name. They are run once per
            history, also where it is read slice by slice.
        given : mapping of str to pyarrow.Table, optional
            Further tables that the query reads by name.

        Returns
        -------
        pyarrow.Table
        """
        for name in counted:
            self._connection.execute(
                f"CREATE TEMP TABLE IF NOT EXISTS {name} AS {query_text(name)}"
            )
        self._show(given)
        return self._connection.sql(text, params=dict(parameters or {})).to_arrow_table()

    def columns(
        self, text: str, counted: Sequence[str] = (), given: Mapping[str, pa.Table] | None = None
    ) -> dict[str, str]:
        """Tell the columns of a query and their DuckDB types, without running it.

        Parameters
        ----------
        text, counted, given
            As in :meth:`query`.
        """
        self._show(given)
        for name in counted:
            text = f"WITH {name} AS ({query_text(name)}\n) FROM ({text}\n)"
        described = self._connection.sql(text)
        return {
            name: str(kind) for name, kind in zip(described.columns, described.types, strict=True)
        }

    def _show(self, given: Mapping[str, pa.Table] | None) -> None:
        for name, table in (given or {}).items():
            self._connection.register(name, table)

    def close(self) -> None:
        """Let go of the connection."""
        self._connection.close()


def query_text(name: str) -> str:
    """Read a query of ``warehouse/sql/`` by its file's stem."""
    return resources.files(__package__).joinpath("sql", f"{name}.sql").read_text("utf-8")


def _column(table: pa.Table, name: str) -> np.ndarray:
    return table[name].to_numpy()
