"""Assembly of profiles from blocks, in slices of clients; only all ids are in memory at once."""

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import numpy as np
import pyarrow as pa

from ubp_platform.blocks.catalog import Catalog
from ubp_platform.blocks.snapshot import (
    ROWS_PER_GROUP,
    ShopIds,
    SnapshotWriter,
    client_keys,
    iterate,
    shop_ids,
)
from ubp_platform.blocks.snapshot_files import (
    Origin,
    SnapshotFile,
    check_snapshot,
    describe_snapshot,
    is_current,
    next_revision,
    snapshot_files,
)
from ubp_platform.errors import DamagedFile
from ubp_platform.home import Home
from ubp_platform.profile.version import ProfileVersion, hash_of_fits
from ubp_platform.progress import ProgressFactory, logged


def assemble(
    home: Home,
    version: ProfileVersion,
    cutoff: datetime,
    progress: ProgressFactory = logged,
    relevant: np.ndarray | None = None,
) -> Path:
    """Write the profiles of all clients at a cutoff.

    Nobody who is in the revision before is left out of the next one, or joins would return the
    row before. Clients who left the list of relevant clients keep their profiles; those of whom
    nothing is known any more, as after a reverted batch, get the mean profile.

    Parameters
    ----------
    home : Home
    version : ProfileVersion
        Its blocks have snapshots at the cutoff. Of an aligned version, the profiles that it maps
        are written first, if they are not there.
    cutoff : datetime
    progress : ProgressFactory
    relevant : ndarray of int64, optional
        The list of relevant clients, where there is one that clients may have left.

    Returns
    -------
    Path
        The profile's snapshot: the newest revision if its blocks' snapshots are unchanged, or else
        a further one.
    """
    source = version.source
    mapped = [assemble(home, source, cutoff, progress, relevant)] if source else []
    own = _own(home, version, cutoff)
    paths = [*mapped, *own]
    made_from = _origin(home, version, paths)
    newest = version.snapshot_path(cutoff)
    if is_current(newest, made_from):
        return newest
    encoded = np.unique(np.concatenate([client_keys(path) for path in paths]))
    before = _at(version, cutoff)
    known = np.unique(np.concatenate([encoded[:0], *(client_keys(one.path) for one in before)]))
    gone = np.setdiff1d(known, encoded, assume_unique=True)
    left = gone[:0] if relevant is None else np.setdiff1d(gone, relevant, assume_unique=True)
    clients = np.union1d(encoded, gone)
    parts = [(*one, _Reader(path)) for one, path in zip(version.own, own, strict=True)]
    mapping = _Reader(mapped[0]) if mapped else None
    # A profile of a newer revision replaces that of an older one.
    previous = [_Reader(one.path) for one in before] if len(left) else []
    target = next_revision(newest)
    with (
        SnapshotWriter(
            target,
            cutoff,
            version.width,
            made_from=made_from,
            shop_ids=_shop_ids([*paths, *(one.path for one in before)] if len(gone) else paths),
            after=before[-1].created if before else None,
        ) as writer,
        progress(f"profile {version.name} {cutoff:%Y-%m-%d}", len(clients), "clients") as advance,
    ):
        for start in range(0, len(clients), ROWS_PER_GROUP):
            slice_ids = clients[start : start + ROWS_PER_GROUP]
            profiles = np.tile(version.mean, (len(slice_ids), 1))
            if source and mapping:
                others = np.tile(source.mean, (len(slice_ids), 1))
                ids, vectors = mapping.up_to(slice_ids[-1])
                others[np.searchsorted(slice_ids, ids)] = vectors if len(ids) else others[:0]
                version.map(others, profiles)
            for part, normalizer, reader in parts:
                ids, vectors = reader.up_to(slice_ids[-1])
                if len(ids):
                    columns = slice(part.start, part.start + part.width)
                    rows = np.searchsorted(slice_ids, ids)
                    profiles[rows, columns] = normalizer.transform(vectors)
            for reader in previous:
                ids, vectors = reader.up_to(slice_ids[-1])
                kept = np.isin(ids, left, assume_unique=True)
                profiles[np.searchsorted(slice_ids, ids[kept])] = vectors[kept]
            writer.write(slice_ids, profiles)
            advance(len(slice_ids))
    return target


def _own(home: Home, version: ProfileVersion, cutoff: datetime) -> list[Path]:
    """Return the snapshots of the blocks that parts of the version are computed from."""
    catalog = Catalog(home)
    fits = [catalog.get(part.block, part.version, part.fit) for part in version.own_parts]
    return [catalog.snapshot_path(fit.name, fit.version, cutoff) for fit in fits]


def _origin(home: Home, version: ProfileVersion, paths: list[Path]) -> Origin:
    """Identify what a profile is made from: the history that all blocks encoded, and the fits."""
    histories = {describe_snapshot(path).made_from.history for path in paths}
    fits = version.made_from or hash_of_fits(fit.fit for fit in version.fits(home))
    return Origin("\n".join(sorted(histories)), fits)


def _at(version: ProfileVersion, cutoff: datetime) -> list[SnapshotFile]:
    """Return the snapshots with the newest profiles at a cutoff, oldest first; none if damaged."""
    try:
        found = snapshot_files(version.directory, cutoff)
        return [check_snapshot(one.path) for one in found]
    except DamagedFile:
        return []


def _shop_ids(paths: list[Path]) -> ShopIds | None:
    """Return a map from keys to the text ids in the snapshots; None if the shop has no text ids."""
    known = [(client_keys(path), shop_ids(path)) for path in paths if path.exists()]
    texts = [ids for _, ids in known if ids is not None]
    if not texts:
        return None
    keys, first = np.unique(np.concatenate([keys for keys, _ in known]), return_index=True)
    ids = pa.concat_arrays(texts).take(pa.array(first))
    return lambda chosen: ids.take(pa.array(np.searchsorted(keys, chosen)))


class _Reader:
    """Reads a snapshot forward, by client id."""

    def __init__(self, path: Path) -> None:
        self._slices: Iterator[tuple[np.ndarray, np.ndarray]] = iterate(path)
        self._rest: tuple[np.ndarray, np.ndarray] | None = next(self._slices, None)

    def up_to(self, last: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the clients up to and including ``last`` that were not returned before."""
        ids = [np.empty(0, np.int64)]
        vectors: list[np.ndarray] = []
        while self._rest is not None and len(self._rest[0]):
            cut = int(np.searchsorted(self._rest[0], last, side="right"))
            ids.append(self._rest[0][:cut])
            vectors.append(self._rest[1][:cut])
            if cut < len(self._rest[0]):
                self._rest = self._rest[0][cut:], self._rest[1][cut:]
                break
            self._rest = next(self._slices, None)
        return np.concatenate(ids), np.concatenate(vectors or [np.empty((0, 0), np.float32)])
