"""What is told of a client besides the vector: the last event, favourite categories, features.

The facts of all clients are one Arrow file, which processes share by mapping it into memory. A
client's row stands at its slot: the number under which the index of profiles knows it.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

#: The categories that are kept of each client.
FAVOURITES = 3
CATEGORIES = tuple(f"category_{place}" for place in range(1, FAVOURITES + 1))
KEY, ID, LAST, EVENTS = "client_key", "client_id", "last_event", "events"
POINT = ("x", "y")
TIME = pa.timestamp("us", "UTC")


@dataclass(frozen=True)
class Client:
    """What is told of one client.

    Parameters
    ----------
    client_id : int or str
    last_event : datetime, optional
        None where no event of the client is known any more.
    events : int
    categories : list of str
        Of most purchases and additions to the cart, the first one foremost.
    """

    client_id: int | str
    last_event: datetime | None
    events: int
    categories: list[str]


class Facts:
    """The facts of all clients of an index, by slot.

    Parameters
    ----------
    table : pyarrow.Table
        The row of a client who was forgotten is empty.
    """

    def __init__(self, table: pa.Table) -> None:
        self.table = table.combine_chunks()
        self._columns: dict[str, np.ndarray] = {}
        self._constant: dict[str, bool] = {}

    @classmethod
    def open(cls, path: Path) -> "Facts":
        """Map a file that :meth:`write` wrote."""
        with pa.memory_map(str(path)) as source:
            return cls(pa.ipc.open_file(source).read_all())

    def write(self, path: Path) -> None:
        """Write all rows as one batch, so that columns are mapped whole."""
        table = self.table
        for name in CATEGORIES:
            column = table[name].combine_chunks().dictionary_encode()
            table = table.set_column(table.schema.get_field_index(name), name, column)
        table = table.unify_dictionaries().combine_chunks()
        with pa.ipc.new_file(str(path), table.schema) as file:
            file.write_table(table, max_chunksize=max(1, table.num_rows))

    def __len__(self) -> int:
        return int(self.table.num_rows)

    @cached_property
    def features(self) -> list[str]:
        """The names of the handcrafted features."""
        named = {KEY, ID, LAST, EVENTS, *CATEGORIES, *POINT}
        return [name for name in self.table.column_names if name not in named]

    @cached_property
    def keys(self) -> np.ndarray:
        """The clients' keys, int64; of those who are :attr:`present`."""
        return self._numbers(KEY)

    @cached_property
    def present(self) -> np.ndarray:
        """At which slots there is somebody: bool."""
        found: np.ndarray = np.array(self.table[ID].is_valid())
        found.flags.writeable = False  # it is shared
        return found

    @property
    def newest_event(self) -> datetime | None:
        """The time of the newest event of any client."""
        found: datetime | None = pc.max(self.table[LAST]).as_py()
        return found

    @cached_property
    def points(self) -> np.ndarray:
        """The clients' places on the map: float32, (n_slots, 2), NaN where there is nobody."""
        found = np.stack([self._numbers(name) for name in POINT], 1)
        found.flags.writeable = False
        return found

    @cached_property
    def bounds(self) -> tuple[np.ndarray, np.ndarray]:
        """Between which places the clients lie, from (0, 0) to (1, 1) at least."""
        there = self.points[self.present]
        there = there[np.isfinite(there).all(axis=1)]
        return there.min(axis=0, initial=0), there.max(axis=0, initial=1)

    def ids(self, slots: np.ndarray) -> list[int | str]:
        """Return the shop's ids of some slots."""
        found: list[int | str] = self.table[ID].take(pa.array(slots)).to_pylist()
        return found

    def slot(self, client_id: int | str) -> int | None:
        """Return a client's slot; None for strangers."""
        column = self.table[ID]
        place = pc.index(column, pa.scalar(client_id, column.type)).as_py()
        return None if place < 0 else place

    def slots(self, client_ids: Sequence[str]) -> np.ndarray:
        """Return the slots of clients, named as the shop writes them, without strangers."""
        texts = self.table[ID].cast(pa.string())
        found = pc.is_in(texts, pa.array(client_ids, pa.string()))
        return np.flatnonzero(found.to_numpy())

    def numbers(self, name: str, cutoff: datetime) -> np.ndarray | None:
        """Return a number of all clients, NaN where there is none; None if there is no such number.

        Parameters
        ----------
        name : str
            A feature, ``events``, or ``last_days``: from the last event to a cutoff.
        cutoff : datetime
        """
        if name == "last_days":
            last = self.table[LAST].combine_chunks().cast(pa.int64())
            ages = cutoff.timestamp() - last.to_numpy(zero_copy_only=False) / 1e6
            return ages.astype(np.float64) / 86400
        if name == EVENTS or name in self.features:
            return self._numbers(name)
        return None

    @cached_property
    def categories(self) -> list[tuple[np.ndarray, pa.Array]]:
        """The favourite categories: for each place the clients' codes, -1 for none, and words."""
        found = []
        for name in CATEGORIES:
            column = self.table[name].combine_chunks()
            if not pa.types.is_dictionary(column.type):
                column = column.dictionary_encode()
            codes = column.indices.fill_null(-1).to_numpy(zero_copy_only=False)
            found.append((codes, column.dictionary))
        return found

    def client(self, slot: int) -> Client:
        """Return what is told of the client at a slot."""
        favourites = [(codes[slot], words) for codes, words in self.categories]
        return Client(
            client_id=self.table[ID][slot].as_py(),
            last_event=self.table[LAST][slot].as_py(),
            events=int(self._numbers(EVENTS)[slot]),
            categories=[words[int(code)].as_py() for code, words in favourites if code >= 0],
        )

    def features_of(self, slot: int) -> dict[str, float]:
        """Return a client's features; none where the client has no event that they read."""
        found = {name: float(self._numbers(name)[slot]) for name in self.features}
        return {name: value for name, value in found.items() if not math.isnan(value)}

    def is_constant(self, feature: str) -> bool:
        """Whether a feature is equal for all clients."""
        if feature not in self._constant:
            numbers = self._numbers(feature)
            known = numbers[~np.isnan(numbers)]
            self._constant[feature] = not len(known) or bool((known == known[0]).all())
        return self._constant[feature]

    def percentiles(self, slot: int) -> dict[str, float]:
        """Return the share of clients below each of a client's features, the equal ones by half."""
        found = {}
        for name, value in self.features_of(slot).items():
            numbers = self._numbers(name)
            numbers = numbers[~np.isnan(numbers)]
            below = np.count_nonzero(numbers < value) + np.count_nonzero(numbers == value) / 2
            found[name] = float(below / max(len(numbers), 1))
        return found

    @classmethod
    def at_slots(
        cls, table: pa.Table, keys: np.ndarray, present: np.ndarray, points: np.ndarray
    ) -> "Facts":
        """Arrange facts by slot.

        Parameters
        ----------
        table : pyarrow.Table
            Without places, sorted by key.
        keys : ndarray of int64, shape (n_slots,)
        present : ndarray of bool, shape (n_slots,)
            Where there is somebody.
        points : ndarray of float32, shape (n_slots, 2)
        """
        rows = np.zeros(len(keys), np.int64)
        rows[present] = np.searchsorted(table[KEY].to_numpy(), keys[present])
        for name, column in zip(POINT, points.T, strict=True):
            at = np.zeros(len(table), np.float32)
            at[rows[present]] = column[present]
            table = table.append_column(name, pa.array(at))
        return cls(_taken(table, pa.array(rows, mask=~present)))

    def emptied(self, slots: np.ndarray) -> "Facts":
        """Return facts without the clients of some slots."""
        gone = np.zeros(len(self), bool)
        gone[slots] = True
        return Facts(_taken(self.table, pa.array(np.arange(len(self)), mask=gone)))

    def _numbers(self, name: str) -> np.ndarray:
        if name not in self._columns:
            # No nulls, so that what is mapped is not copied.
            self._columns[name] = self.table[name].chunk(0).to_numpy()
        return self._columns[name]


def _taken(table: pa.Table, rows: pa.Array) -> pa.Table:
    """Return rows of a table; where the row is null, there is nobody."""
    for place, field in enumerate(table.schema):
        if pa.types.is_dictionary(field.type):  # whose words may be of those who are gone
            table = table.set_column(place, field.name, table[field.name].cast(pa.string()))
    found = table.take(rows)
    for place, field in enumerate(found.schema):
        # What is mapped as numbers has no nulls.
        nothing: float | None = {KEY: 0, EVENTS: 0}.get(field.name)
        if pa.types.is_floating(field.type):
            nothing = float("nan")
        if nothing is not None:
            column = found[field.name].fill_null(nothing)
            found = found.set_column(place, field.name, column)
    return found
