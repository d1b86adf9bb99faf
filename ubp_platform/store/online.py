"""Profiles into the online store, a slice at a time, with the cost of a slice.

Feast's own ``materialize`` builds a Python float for every number of every profile. Here a profile
goes from Parquet to the store's message as the bytes it already is; the store, its tables, its
keys and its reads are Feast's.
"""

from collections.abc import Iterator
from datetime import datetime
from typing import Any

import numpy as np
from feast import FeatureStore
from feast.protos.feast.types.EntityKey_pb2 import EntityKey
from feast.protos.feast.types.Value_pb2 import FloatList, Value

from ubp_platform.blocks.snapshot import EMBEDDING, iterate
from ubp_platform.profile.version import ProfileVersion
from ubp_platform.progress import ProgressFactory, silent
from ubp_platform.store.objects import profile_view_name

_SLICE = 2048


def write_newest(
    store: FeatureStore, version: ProfileVersion, progress: ProgressFactory = silent
) -> int:
    """Write the newest profile of every client of a version.

    Parameters
    ----------
    store : FeatureStore
        The version's view is applied.
    version : ProfileVersion
    progress : ProgressFactory

    Returns
    -------
    int
        How many clients have a profile online.
    """
    view = store.get_feature_view(profile_view_name(version.name))
    # The door that materialize uses, too.
    provider: Any = store._get_provider()
    written = np.empty(0, np.int64)
    files = version.snapshots[::-1]
    total = max((file.clients for file in files), default=0)
    with progress(f"publish {view.name}", total, "clients") as advance:
        for file in files:
            new = []
            for client_ids, vectors in iterate(file.path, _SLICE):
                # An older cutoff serves only clients that no newer one has.
                fresh = ~np.isin(client_ids, written, assume_unique=True)
                client_ids, vectors = client_ids[fresh], vectors[fresh]
                if not len(client_ids):
                    continue
                rows = list(_rows(client_ids, vectors, file.cutoff))
                provider.online_write_batch(store.config, view, rows, progress=None)
                new.append(client_ids)
                advance(len(client_ids))
            written = np.union1d(written, np.concatenate(new)) if new else written
    return len(written)


def _rows(
    client_ids: np.ndarray, vectors: np.ndarray, cutoff: datetime
) -> Iterator[tuple[EntityKey, dict[str, Value], datetime, None]]:
    """Make what Feast's online stores take."""
    header = _float_list_header(vectors.shape[1])
    for client_id, vector in zip(client_ids.tolist(), vectors.astype("<f4"), strict=True):
        key = EntityKey(join_keys=["client_id"], entity_values=[Value(int64_val=client_id)])
        yield key, {EMBEDDING: Value.FromString(header + vector.tobytes())}, cutoff, None


def _float_list_header(width: int) -> bytes:
    """Encode the start of a ``Value`` that holds a float list of a known width.

    Protocol Buffers encoding: a message field is a tag, a length, and its bytes; a packed float
    list is its numbers, four little-endian bytes each.
    """
    probe = Value(float_list_val=FloatList(val=[0.0] * width)).SerializeToString()
    return probe[: len(probe) - 4 * width]
