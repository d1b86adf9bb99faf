"""One block's vectors for all clients at one cutoff, as arrays and as a Parquet file."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ubp_platform.errors import UBPError
from ubp_platform.files import atomic_file

# Small row groups let point-in-time joins read only the clients of a slice.
ROWS_A_GROUP = 8192
EMBEDDING = "embedding"
_TIME = pa.timestamp("us", "UTC")
# Beside text ids: what the platform computes with, and what a snapshot is sorted by.
_KEY = "client_key"
_LEADING = ("client_id", _KEY, "event_timestamp", "created_timestamp")

#: Gives the shop's text ids of keys.
ShopIds = Callable[[np.ndarray], pa.Array]


@dataclass(frozen=True)
class Snapshot:
    """Vectors of all clients with usable events at one cutoff.

    Parameters
    ----------
    cutoff : datetime
        Aware; the vectors know nothing at or after it.
    client_ids : ndarray of int64, shape (n_clients,)
        Ascending.
    vectors : ndarray of float32, shape (n_clients, dim)
    names : tuple of str, optional
        The features' names where they have any; then each is a column of its own in the file.
    """

    cutoff: datetime
    client_ids: np.ndarray
    vectors: np.ndarray
    names: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        ids, vectors = self.client_ids, self.vectors
        if ids.dtype != np.int64 or ids.ndim != 1 or (np.diff(ids) <= 0).any():
            raise UBPError("a snapshot's client_ids must be int64, ascending, each client once")
        if vectors.dtype != np.float32 or vectors.ndim != 2 or len(vectors) != len(ids):
            raise UBPError(
                f"a snapshot's vectors must be float32, one row per client ({len(ids)}), not "
                f"{vectors.dtype} of shape {vectors.shape}"
            )

    def write(self, path: Path, identity: str = "", shop_ids: ShopIds | None = None) -> None:
        """Write the Parquet file; it appears whole or not at all.

        Parameters
        ----------
        path : Path
        identity : str
            What it was made from; equal identities are equal snapshots.
        shop_ids : callable, optional
            As of :class:`SnapshotWriter`.
        """
        width = self.vectors.shape[1]
        with SnapshotWriter(path, self.cutoff, width, self.names, identity, shop_ids) as writer:
            for start in range(0, len(self.client_ids), ROWS_A_GROUP):
                rows = slice(start, start + ROWS_A_GROUP)
                writer.write(self.client_ids[rows], self.vectors[rows])

    @classmethod
    def read(cls, path: Path) -> "Snapshot":
        """Read a file that :meth:`write` wrote."""
        file = pq.ParquetFile(path)
        names = feature_names(file.schema_arrow)
        slices = list(iterate(path))
        cutoff = datetime.fromisoformat(file.schema_arrow.metadata[b"cutoff"].decode())
        width = int(file.schema_arrow.metadata[b"width"])
        empty = np.empty(0, np.int64), np.empty((0, width), np.float32)
        ids, vectors = zip(*slices, strict=True) if slices else ([empty[0]], [empty[1]])
        return cls(cutoff, np.concatenate(ids), np.concatenate(vectors), names)


class SnapshotWriter:
    """Write a snapshot in slices of clients, in ascending order, with flat memory.

    Parameters
    ----------
    path : Path
        The final file; until the ``with`` statement ends well, a temporary one beside it.
    cutoff : datetime
    width : int
        Numbers in a vector.
    names : tuple of str, optional
        Feature names; then each gets a column instead of one list column.
    identity : str
        What the snapshot is made from.
    shop_ids : callable, optional
        Gives the shop's text ids of keys as an Arrow array. Then ``client_id`` holds these, and
        ``client_key`` the keys; without it keys are the ids.
    """

    def __init__(
        self,
        path: Path,
        cutoff: datetime,
        width: int,
        names: tuple[str, ...] | None = None,
        identity: str = "",
        shop_ids: ShopIds | None = None,
    ) -> None:
        self._shop_ids = shop_ids
        self._path, self._cutoff, self._names, self._width = path, cutoff, names, width
        values = (
            [pa.field(name, pa.float32()) for name in names]
            if names
            else [pa.field(EMBEDDING, pa.list_(pa.float32()))]
        )
        who = [("client_id", pa.string()), (_KEY, pa.int64())]
        self._schema = pa.schema(
            [
                *(who if shop_ids else [("client_id", pa.int64())]),
                ("event_timestamp", _TIME),
                ("created_timestamp", _TIME),
            ],
            metadata={
                "cutoff": cutoff.astimezone(UTC).isoformat(),
                "width": str(width),
                "identity": identity,
            },
        )
        for field in values:
            self._schema = self._schema.append(field)
        self._created = datetime.now(UTC)

    def __enter__(self) -> "SnapshotWriter":
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with ExitStack() as stack:
            temporary = stack.enter_context(atomic_file(self._path))
            writer = pq.ParquetWriter(
                temporary,
                self._schema,
                # Unit vectors neither compress nor repeat.
                compression="NONE",
                use_dictionary=False,
                write_statistics=["client_id", _KEY] if self._shop_ids else ["client_id"],
            )
            self._writer = stack.enter_context(writer)
            self._stack = stack.pop_all()
        return self

    def write(self, client_ids: np.ndarray, vectors: np.ndarray) -> None:
        """Append clients.

        Parameters
        ----------
        client_ids : ndarray of int64, shape (n,)
            Keys, where the shop's ids are text.
        vectors : ndarray of float32, shape (n, width)
        """
        count = len(client_ids)
        vectors = np.ascontiguousarray(vectors, dtype=np.float32)
        if self._names:
            values = [pa.array(np.ascontiguousarray(column)) for column in vectors.T]
        else:
            offsets = pa.array(np.arange(count + 1, dtype=np.int32) * self._width)
            values = [pa.ListArray.from_arrays(offsets, pa.array(vectors.ravel()))]
        times = [pa.repeat(pa.scalar(time, _TIME), count) for time in (self._cutoff, self._created)]
        who = [pa.array(client_ids, pa.int64())]
        if self._shop_ids:
            who.insert(0, self._shop_ids(client_ids))
        columns = [*who, *times, *values]
        self._writer.write_table(
            pa.Table.from_arrays(columns, schema=self._schema), row_group_size=ROWS_A_GROUP
        )

    def __exit__(self, *error: Any) -> None:
        self._stack.__exit__(*error)


def feature_names(schema: pa.Schema) -> tuple[str, ...] | None:
    """Tell the feature columns of a snapshot file; None where it holds one list column."""
    names = tuple(name for name in schema.names if name not in _LEADING)
    return None if names == (EMBEDDING,) else names


def iterate(path: Path, rows: int = ROWS_A_GROUP) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Read a snapshot in slices.

    Yields
    ------
    client_ids : ndarray of int64, shape (n,)
        Keys, where the shop's ids are text.
    vectors : ndarray of float32, shape (n, width)
    """
    for batch, vectors in _batches(path, rows):
        yield _keys(batch), vectors


def iterate_shop_ids(path: Path, rows: int) -> Iterator[tuple[list[int] | list[str], np.ndarray]]:
    """Read a snapshot in slices, with the ids that the shop has.

    Yields
    ------
    client_ids : list of int or of str
    vectors : ndarray of float32, shape (n, width)
    """
    for batch, vectors in _batches(path, rows):
        yield batch["client_id"].to_pylist(), vectors


def client_keys(path: Path) -> np.ndarray:
    """Read the keys of a snapshot's clients: int64, ascending."""
    has_key = _KEY in pq.read_schema(path).names
    return _keys(pq.read_table(path, columns=[_KEY if has_key else "client_id"]))


def shop_ids(path: Path) -> pa.Array | None:
    """Read the text ids of a snapshot's clients, in the order of the keys; None where keys are."""
    if not has_text_ids(path):
        return None
    return pq.read_table(path, columns=["client_id"])["client_id"].combine_chunks()


def has_text_ids(path: Path) -> bool:
    """Whether the shop's ids in a snapshot are text."""
    return _KEY in pq.read_schema(path).names


def _keys(batch: pa.RecordBatch | pa.Table) -> np.ndarray:
    column = _KEY if _KEY in batch.schema.names else "client_id"
    found: np.ndarray = batch[column].to_numpy()
    return found


def _batches(path: Path, rows: int) -> Iterator[tuple[pa.RecordBatch, np.ndarray]]:
    # Buffered ahead, what was read would stay in memory until the last slice.
    file = pq.ParquetFile(path, pre_buffer=False)
    names = feature_names(file.schema_arrow)
    for batch in file.iter_batches(batch_size=rows):
        if names:
            columns = [batch[name].to_numpy(zero_copy_only=False) for name in names]
            vectors = np.stack(columns, axis=1)
        else:
            flat = batch[EMBEDDING].flatten().to_numpy(zero_copy_only=False)
            vectors = flat.reshape(len(batch), -1)
        yield batch, vectors


def thinned(path: Path, clients: int) -> np.ndarray:
    """Read the vectors of evenly chosen clients; of a large snapshot no more are in memory.

    Parameters
    ----------
    path : Path
    clients : int
        How many at most.

    Returns
    -------
    ndarray of float32, shape (n, width)
    """
    metadata = pq.read_metadata(path)
    step = max(1, -(-metadata.num_rows // clients))
    chosen, seen = [np.empty((0, int(metadata.metadata[b"width"])), np.float32)], 0
    for ids, vectors in iterate(path):
        chosen.append(vectors[-seen % step :: step].copy())
        seen += len(ids)
    return np.concatenate(chosen)
