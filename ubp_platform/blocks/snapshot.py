"""A snapshot: one block's vectors at one cutoff, as arrays and as a Parquet file."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from ubp_platform import sealed
from ubp_platform.blocks.snapshot_files import UNKNOWN, Origin, check_snapshot, describe_snapshot
from ubp_platform.errors import UBPError
from ubp_platform.events.integer_ids import integer_of
from ubp_platform.files import atomic_file, make_directory

# With small row groups, point-in-time joins read only the clients of a slice.
ROWS_PER_GROUP = 8192
EMBEDDING = "embedding"
_TIME = pa.timestamp("us", "UTC")
# Where the shop's ids are text: the integer that stands for a client; snapshots are sorted by it.
_KEY = "client_key"
_CHECKSUMS = {
    sealed.FIELD: sealed.UNSEALED,
    sealed.ROWS_FIELD: sealed.ROWS_UNSEALED,
}
_LEADING = ("client_id", _KEY, "event_timestamp", "created_timestamp")

#: Maps client keys to the shop's text ids.
ShopIds = Callable[[np.ndarray], pa.Array]


@dataclass(frozen=True)
class Snapshot:
    """Vectors of all clients with usable events at one cutoff.

    Parameters
    ----------
    cutoff : datetime
        Aware; the vectors depend only on events before it.
    client_ids : ndarray of int64, shape (n_clients,)
        Ascending.
    vectors : ndarray of float32, shape (n_clients, dim)
    names : tuple of str, optional
        Names of the features, if they have any; each is then a column of the file.
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

    def write(
        self, path: Path, made_from: Origin = UNKNOWN, shop_ids: ShopIds | None = None
    ) -> None:
        """Write the Parquet file, which appears complete; as in :class:`SnapshotWriter`."""
        with self.writer(path, made_from, shop_ids) as writer:
            for start in range(0, len(self.client_ids), ROWS_PER_GROUP):
                rows = slice(start, start + ROWS_PER_GROUP)
                writer.write(self.client_ids[rows], self.vectors[rows])

    def writer(
        self, path: Path, made_from: Origin = UNKNOWN, shop_ids: ShopIds | None = None
    ) -> "SnapshotWriter":
        """Make a writer for snapshots of this cutoff and shape."""
        width = self.vectors.shape[1]
        return SnapshotWriter(path, self.cutoff, width, self.names, made_from, shop_ids)

    @classmethod
    def read(cls, path: Path) -> "Snapshot":
        """Read a file that :meth:`write` wrote; raise DamagedFile if it is damaged."""
        check_snapshot(path)
        schema = pq.read_schema(path)
        cutoff = datetime.fromisoformat(schema.metadata[b"cutoff"].decode())
        width = int(schema.metadata[b"width"])
        ids, vectors = [np.empty(0, np.int64)], [np.empty((0, width), np.float32)]
        for some_ids, some_vectors in iterate(path):
            ids.append(some_ids)
            vectors.append(some_vectors)
        return cls(cutoff, np.concatenate(ids), np.concatenate(vectors), feature_names(schema))


class SnapshotWriter:
    """Write a snapshot in slices of clients, in ascending order, in constant memory.

    Parameters
    ----------
    path : Path
        The final file; it appears when the ``with`` statement ends without an error.
    cutoff : datetime
    width : int
        The size of a vector.
    names : tuple of str, optional
        Feature names; each then gets a column, in place of one list column.
    made_from : Origin
    shop_ids : callable, optional
        Maps client keys to the shop's text ids. The column ``client_id`` then holds these ids, and
        ``client_key`` the keys; without it the keys are the ids.
    after : datetime, optional
        When the revision before was made; this one is made later.
    partial : bool
        Whether it holds only clients whose profile was due.
    """

    def __init__(
        self,
        path: Path,
        cutoff: datetime,
        width: int,
        names: tuple[str, ...] | None = None,
        made_from: Origin = UNKNOWN,
        shop_ids: ShopIds | None = None,
        after: datetime | None = None,
        partial: bool = False,
    ) -> None:
        created = datetime.now(UTC)
        if after:  # the clock may have been corrected backwards
            created = max(created, after + timedelta(microseconds=1))
        self._shop_ids = shop_ids
        self._path, self._cutoff, self._names, self._width = path, cutoff, names, width
        text_ids = [("client_id", pa.string()), (_KEY, pa.int64())]
        features = [(name, pa.float32()) for name in names or ()]
        self._schema = pa.schema(
            [
                *(text_ids if shop_ids else [("client_id", pa.int64())]),
                ("event_timestamp", _TIME),
                ("created_timestamp", _TIME),
                *(features or [(EMBEDDING, pa.list_(pa.float32()))]),
            ],
            metadata={
                "cutoff": cutoff.astimezone(UTC).isoformat(),
                "width": str(width),
                "identity": made_from.history,
                "fits": made_from.fits,
                "created": created.isoformat(),
                **({"partial": "yes"} if partial else {}),
            },
        )
        self._created = created

    def __enter__(self) -> "SnapshotWriter":
        self._file = _parquet_file(self._path, self._schema)
        self._writer = self._file.__enter__()
        return self

    def write(self, client_ids: np.ndarray, vectors: np.ndarray) -> None:
        """Append clients: int64 ids (keys, where ids are text) and float32 vectors (n, width)."""
        count = len(client_ids)
        vectors = np.ascontiguousarray(vectors, dtype=np.float32)
        if self._names:
            values = [pa.array(np.ascontiguousarray(column)) for column in vectors.T]
        else:
            offsets = pa.array(np.arange(count + 1, dtype=np.int32) * self._width)
            values = [pa.ListArray.from_arrays(offsets, pa.array(vectors.ravel()))]
        times = [pa.repeat(pa.scalar(time, _TIME), count) for time in (self._cutoff, self._created)]
        ids = [pa.array(client_ids, pa.int64())]
        if self._shop_ids:
            ids.insert(0, self._shop_ids(client_ids))
        table = pa.Table.from_arrays([*ids, *times, *values], schema=self._schema)
        self._writer.write_table(table, row_group_size=ROWS_PER_GROUP)

    def __exit__(self, *error: Any) -> None:
        self._file.__exit__(*error)


@contextmanager
def _parquet_file(path: Path, schema: pa.Schema) -> Iterator[pq.ParquetWriter]:
    """Write a snapshot's file, which appears complete and with its checksums, or not at all."""
    make_directory(path.parent)
    with atomic_file(path) as temporary:
        with pq.ParquetWriter(
            temporary,
            schema,
            # Embeddings neither compress nor repeat.
            compression="NONE",
            use_dictionary=False,
            write_statistics=[name for name in ("client_id", _KEY) if name in schema.names],
        ) as writer:
            yield writer
            writer.add_key_value_metadata(_CHECKSUMS)
        sealed.seal_parquet(temporary)


def remove_clients(path: Path, client_ids: Sequence[str]) -> list[str]:
    """Replace a snapshot by one without some clients; all else is as it was.

    Parameters
    ----------
    path : Path
    client_ids : sequence of str
        As the shop writes them.

    Returns
    -------
    list of str
        Those who were in it; if nobody was, the file is left alone.

    Raises
    ------
    DamagedFile
        If the file is damaged.
    """
    check_snapshot(path)
    file = pq.ParquetFile(path, pre_buffer=False)
    gone = pa.array(client_ids, pa.string())
    if not has_text_ids(path):
        numbers = map(integer_of, client_ids)
        gone = pa.array([one for one in numbers if one is not None], pa.int64())
    column = pq.read_table(path, columns=["client_id"])["client_id"]
    found = column.filter(pc.is_in(column, gone))
    if not len(found):
        return []
    kept = dict(file.schema_arrow.metadata)
    for name in _CHECKSUMS:
        kept.pop(name.encode(), None)
    with _parquet_file(path, file.schema_arrow.with_metadata(kept)) as writer:
        for group in range(file.num_row_groups):
            rows = file.read_row_group(group)
            rows = rows.filter(pc.invert(pc.is_in(rows["client_id"], gone)))
            writer.write_table(rows, row_group_size=ROWS_PER_GROUP)
    return [str(one) for one in found.to_pylist()]


def feature_names(schema: pa.Schema) -> tuple[str, ...] | None:
    """Return the feature columns of a snapshot file; None where it has one list column."""
    names = tuple(name for name in schema.names if name not in _LEADING)
    return None if names == (EMBEDDING,) else names


def iterate(path: Path, rows: int = ROWS_PER_GROUP) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Read slices of a snapshot: int64 ids (keys, where ids are text), float32 (n, width)."""
    for batch, vectors in _batches(path, rows):
        yield _keys(batch), vectors


def iterate_clients(
    path: Path, rows: int = ROWS_PER_GROUP
) -> Iterator[tuple[np.ndarray, pa.Array, np.ndarray]]:
    """Read slices of a snapshot: keys, the shop's own ids, and vectors, as in :func:`iterate`."""
    for batch, vectors in _batches(path, rows):
        yield _keys(batch), batch["client_id"], vectors


def sampled(path: Path, clients: int) -> Iterator[tuple[np.ndarray, pa.Array, np.ndarray]]:
    """Read about so many clients from ten places of a snapshot, as :func:`iterate_clients`."""
    check_snapshot(path)
    file = pq.ParquetFile(path, pre_buffer=False)
    names, groups = feature_names(file.schema_arrow), file.num_row_groups
    places = sorted({round(place) for place in np.linspace(0, groups - 1, 10)} if groups else ())
    for group in places:
        step = max(1, file.metadata.row_group(group).num_rows * len(places) // clients)
        batch = file.read_row_group(group).combine_chunks().to_batches()[0]
        batch = batch.take(pa.array(np.arange(0, batch.num_rows, step)))
        yield _keys(batch), batch["client_id"], _vectors(batch, names)


def shop_id_slices(path: Path, rows: int) -> Iterator[list[Any]]:
    """Read the shop's own ids of a snapshot's clients, some at a time."""
    file = pq.ParquetFile(path, pre_buffer=False)
    for batch in file.iter_batches(batch_size=rows, columns=["client_id"]):
        yield batch["client_id"].to_pylist()


def client_keys(path: Path) -> np.ndarray:
    """Read the keys of a snapshot's clients: int64, ascending."""
    check_snapshot(path)
    return _keys(pq.read_table(path, columns=[key_column(path)]))


def shop_ids(path: Path) -> pa.Array | None:
    """Read the clients' text ids, in the order of their keys; None where ids are integers."""
    if not has_text_ids(path):
        return None
    return pq.read_table(path, columns=["client_id"])["client_id"].combine_chunks()


def key_column(path: Path) -> str:
    """Return the column that holds the keys of a snapshot's clients."""
    return _KEY if has_text_ids(path) else "client_id"


def has_text_ids(path: Path) -> bool:
    """Whether the shop's ids in a snapshot are text."""
    describe_snapshot(path)  # which checks the footer
    return _KEY in pq.read_schema(path).names


def _keys(batch: pa.RecordBatch | pa.Table) -> np.ndarray:
    column = _KEY if _KEY in batch.schema.names else "client_id"
    keys: np.ndarray = batch[column].to_numpy()
    return keys


def _batches(path: Path, rows: int) -> Iterator[tuple[pa.RecordBatch, np.ndarray]]:
    check_snapshot(path)
    # With pre_buffer, everything read would stay in memory until the last slice.
    file = pq.ParquetFile(path, pre_buffer=False)
    names = feature_names(file.schema_arrow)
    for batch in file.iter_batches(batch_size=rows):
        yield batch, _vectors(batch, names)


def _vectors(batch: pa.RecordBatch, names: tuple[str, ...] | None) -> np.ndarray:
    if names:
        columns = [batch[name].to_numpy(zero_copy_only=False) for name in names]
        return np.stack(columns, axis=1)
    flat: np.ndarray = batch[EMBEDDING].flatten().to_numpy(zero_copy_only=False)
    return flat.reshape(len(batch), -1)


def thinned(path: Path, clients: int) -> np.ndarray:
    """Read the vectors of at most this many clients, evenly spaced: float32, (n, width)."""
    check_snapshot(path)
    metadata = pq.read_metadata(path)
    step = max(1, -(-metadata.num_rows // clients))
    chosen, rows = [np.empty((0, int(metadata.metadata[b"width"])), np.float32)], 0
    for _, vectors in iterate(path):
        chosen.append(vectors[-rows % step :: step].copy())
        rows += len(vectors)
    return np.concatenate(chosen)
