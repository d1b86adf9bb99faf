"""Blocks into profiles, a slice of clients at a time; of all clients only the ids are in memory."""

import hashlib
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import numpy as np
import pyarrow as pa

from ubp_platform.blocks.catalog import Catalog, describe_snapshot
from ubp_platform.blocks.snapshot import (
    ROWS_PER_GROUP,
    ShopIds,
    SnapshotWriter,
    client_keys,
    iterate,
    shop_ids,
)
from ubp_platform.home import Home
from ubp_platform.profile.version import ProfileVersion
from ubp_platform.progress import ProgressFactory, silent


def assemble(
    home: Home, version: ProfileVersion, cutoff: datetime, progress: ProgressFactory = silent
) -> Path:
    """Write the profiles of all clients at a cutoff.

    Clients who have left the list of those who are wanted keep the profiles that they have, as
    they do in the online store: both go on giving the same.

    Parameters
    ----------
    home : Home
    version : ProfileVersion
        Its blocks have snapshots at the cutoff.
    cutoff : datetime
    progress : ProgressFactory

    Returns
    -------
    Path
        The snapshot file of the profile; left alone where nothing has changed.
    """
    catalog = Catalog(home)
    paths = [catalog.snapshot_path(part.block, part.version, cutoff) for part in version.parts]
    made_from = "\n".join(describe_snapshot(path).identity for path in paths)
    identity = hashlib.sha256(made_from.encode()).hexdigest()
    target = version.snapshot_path(cutoff)
    if target.exists() and describe_snapshot(target).identity == identity:
        return target
    encoded = np.unique(np.concatenate([client_keys(path) for path in paths]))
    before = client_keys(target) if target.exists() else np.empty(0, np.int64)
    left = np.setdiff1d(before, encoded, assume_unique=True)
    clients = np.union1d(encoded, left)
    readers = [_Reader(path) for path in paths]
    earlier = _Reader(target) if len(left) else None
    with (
        SnapshotWriter(
            target, cutoff, version.width, identity=identity, shop_ids=_shop_ids([*paths, target])
        ) as writer,
        progress(f"profile {version.name} {cutoff:%Y-%m-%d}", len(clients), "clients") as advance,
    ):
        for start in range(0, len(clients), ROWS_PER_GROUP):
            wanted = clients[start : start + ROWS_PER_GROUP]
            profiles = np.tile(version.mean, (len(wanted), 1))
            for part, normalizer, reader in zip(
                version.parts, version.normalizers, readers, strict=True
            ):
                found, vectors = reader.up_to(wanted[-1])
                if len(found):
                    columns = slice(part.start, part.start + part.width)
                    rows = np.searchsorted(wanted, found)
                    profiles[rows, columns] = normalizer.transform(vectors)
            if earlier:
                found, vectors = earlier.up_to(wanted[-1])
                kept = np.isin(found, left, assume_unique=True)
                profiles[np.searchsorted(wanted, found[kept])] = vectors[kept]
            writer.write(wanted, profiles)
            advance(len(wanted))
    return target


def _shop_ids(paths: list[Path]) -> ShopIds | None:
    """Find the text ids of keys in the snapshots that have them; None where there are none."""
    known = [(client_keys(path), shop_ids(path)) for path in paths if path.exists()]
    texts = [ids for _, ids in known if ids is not None]
    if not texts:
        return None
    keys, first = np.unique(np.concatenate([keys for keys, _ in known]), return_index=True)
    ids = pa.concat_arrays(texts).take(pa.array(first))
    return lambda wanted: ids.take(pa.array(np.searchsorted(keys, wanted)))


class _Reader:
    """Reads a snapshot forward, by client id."""

    def __init__(self, path: Path) -> None:
        self._slices: Iterator[tuple[np.ndarray, np.ndarray]] = iterate(path)
        self._kept: tuple[np.ndarray, np.ndarray] | None = next(self._slices, None)

    def up_to(self, last: int) -> tuple[np.ndarray, np.ndarray]:
        """Take all clients up to and including ``last`` that were not taken yet."""
        ids: list[np.ndarray] = []
        vectors: list[np.ndarray] = []
        while self._kept is not None and len(self._kept[0]):
            cut = int(np.searchsorted(self._kept[0], last, side="right"))
            ids.append(self._kept[0][:cut])
            vectors.append(self._kept[1][:cut])
            if cut < len(self._kept[0]):
                self._kept = self._kept[0][cut:], self._kept[1][cut:]
                break
            self._kept = next(self._slices, None)
        if not ids:
            return np.empty(0, np.int64), np.empty((0, 0), np.float32)
        return np.concatenate(ids), np.concatenate(vectors)
