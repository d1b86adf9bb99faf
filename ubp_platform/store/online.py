"""Writing profiles to the online store, with one slice in memory.

Feast's own ``materialize`` builds a Python float for every number of every profile. Here the bytes
of a profile in Parquet are copied into the store's message; the store, its tables, keys and reads
are Feast's.
"""

import itertools
import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
from feast import FeatureStore
from feast.infra.online_stores.sqlite import SqliteOnlineStore
from feast.protos.feast.types.EntityKey_pb2 import EntityKey
from feast.protos.feast.types.Value_pb2 import FloatList, Value

from ubp_platform.blocks.catalog import SnapshotFile
from ubp_platform.blocks.snapshot import EMBEDDING, iterate_shop_ids
from ubp_platform.errors import UBPError, first_line
from ubp_platform.files import restrict
from ubp_platform.progress import ProgressFactory, logged

_SLICE = 2048
Row = tuple[EntityKey, dict[str, Value], datetime, None]


def write_profiles(
    store: FeatureStore, view_name: str, snapshot: SnapshotFile, progress: ProgressFactory = logged
) -> None:
    """Write the profiles of a snapshot, replacing older ones of the same clients.

    On SQLite it is one transaction, during which readers see the previous profiles. Other stores
    are written slice by slice. Clients who are not in the snapshot keep their profiles.

    The view must have been applied.

    Raises
    ------
    UBPError
        If the online store does not answer or rejects the profiles.
    """
    view = store.get_feature_view(view_name)
    # The interface that materialize uses.
    provider: Any = store._get_provider()
    slices = (
        _rows(client_ids, vectors, snapshot.cutoff)
        for client_ids, vectors in iterate_shop_ids(snapshot.path, _SLICE)
    )
    kind = store.config.online_store.type
    title = f"publish {view.name}" + f" to {kind}" * (kind != "sqlite")
    with progress(title, snapshot.clients, "clients") as advance, one_line_errors(store):
        if isinstance(provider.online_store, SqliteOnlineStore):
            with closing(sqlite3.connect(store.config.online_store.path)) as connection:
                connection.execute("PRAGMA journal_mode=WAL")
            restrict(Path(store.config.online_store.path))
            rows = itertools.chain.from_iterable(slices)
            provider.online_write_batch(store.config, view, rows, progress=advance)
            with closing(sqlite3.connect(store.config.online_store.path)) as connection:
                # The transaction's log is as large as the profiles; without this it would remain.
                connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        else:
            for part in slices:
                provider.online_write_batch(store.config, view, list(part), progress=advance)


@contextmanager
def one_line_errors(store: FeatureStore) -> Iterator[None]:
    """Turn errors of the online store into one line.

    Raises
    ------
    UBPError
        Names the server or file, without a password, and the way out.
    """
    online = store.config.online_store
    if online.type == "redis":
        from ubp_platform.store.redis import one_line_errors_of_redis

        with one_line_errors_of_redis(online):
            yield
        return
    try:
        yield
    except sqlite3.DatabaseError as error:
        advice = "`ubp publish` writes the online store again"
        if not os.access(online.path, os.W_OK):
            advice = "readers of SQLite need write access to the file and its directory"
        elif not isinstance(error, sqlite3.OperationalError):
            advice = f"remove it, then {advice}"
        raise UBPError(f"{online.path}: {first_line(error)}; {advice}") from None


def _rows(
    client_ids: list[int] | list[str], vectors: np.ndarray, cutoff: datetime
) -> Iterator[Row]:
    """Yield rows in the form of Feast's online stores."""
    header = _float_list_header(vectors.shape[1])
    for client_id, vector in zip(client_ids, vectors.astype("<f4"), strict=True):
        value = Value()
        setattr(value, "string_val" if isinstance(client_id, str) else "int64_val", client_id)
        key = EntityKey(join_keys=["client_id"], entity_values=[value])
        yield key, {EMBEDDING: Value.FromString(header + vector.tobytes())}, cutoff, None


def _float_list_header(width: int) -> bytes:
    """Encode the start of a ``Value`` that holds a float list of a known width.

    In Protocol Buffers a message field is a tag, a length and its bytes; a packed float list
    consists of its numbers, four little-endian bytes each.
    """
    probe = Value(float_list_val=FloatList(val=[0.0] * width)).SerializeToString()
    return probe[: len(probe) - 4 * width]
