"""Encoding all buckets of the lake into snapshot files.

What a bucket's blocks give is kept in the scratch directory until all buckets are there: a run that
ended early goes on where it was.
"""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import TypeAlias
from zipfile import BadZipFile

import numpy as np

from ubp_platform.blocks.catalog import FittedBlock
from ubp_platform.blocks.snapshot import (
    ROWS_PER_GROUP,
    ShopIds,
    Snapshot,
    SnapshotWriter,
)
from ubp_platform.blocks.snapshot_files import Origin
from ubp_platform.engine.base import Engine
from ubp_platform.files import atomic_file, discard, make_directory
from ubp_platform.home import Home
from ubp_platform.profile.bucket_work import BucketItem, BucketSource, EncodeBuckets
from ubp_platform.progress import ProgressFactory

#: A fit, the file to write, and what that is made from.
Stale: TypeAlias = tuple[FittedBlock, Path, Origin]


def encode_buckets(
    engine: Engine,
    home: Home,
    source: BucketSource,
    relevant: np.ndarray | None,
    stale: Sequence[Stale],
    progress: ProgressFactory,
    shop_ids: ShopIds | None,
) -> list[Stale]:
    """Write snapshots of fitted blocks.

    Parameters
    ----------
    engine : Engine
    home : Home
    source : BucketSource
    relevant : ndarray of int64, optional
        The relevant clients; by default all.
    stale : sequence
        What to write.
    progress : ProgressFactory
    shop_ids : callable, optional
        As in :class:`~ubp_platform.blocks.snapshot.SnapshotWriter`.

    Returns
    -------
    list
        What was not written, since no bucket has a client of it.
    """
    parts = {fitted.name: _Parts(home, made_from) for fitted, _, made_from in stale}
    work = EncodeBuckets(source, {one.name: (one.version, one.fit) for one, _, _ in stale})
    everything = source.items(relevant)
    clients = sum(map(source.clients, everything))
    title = f"encode {len(stale)} blocks" if len(stale) > 1 else f"{stale[0][0].name}: encode"
    with progress(title, clients, "clients") as advance:
        missing = []
        for item in everything:
            lacking = [name for name, one in parts.items() if not one.has(source, item)]
            if lacking:
                missing.append(replace(item, blocks=tuple(lacking)))
            else:
                advance(source.clients(item))
        for item, found in engine.as_finished(work, missing):
            for name, snapshot in found.items():
                _save(parts[name].path(source, item), snapshot)
            advance(source.clients(item))
    left = []
    for one in stale:
        fitted, path, made_from = one
        found_parts = parts[fitted.name]
        files = [file for item in everything if (file := found_parts.path(source, item)).exists()]
        if files:
            _write(files, source.cutoff, path, made_from, shop_ids)
        else:
            left.append(one)
        found_parts.remove()
    _remove_others(home)
    return left


class _Parts:
    """The directory with the parts of one snapshot."""

    def __init__(self, home: Home, made_from: Origin) -> None:
        digest = hashlib.sha256(f"{made_from.history}\n{made_from.fits}".encode())
        self._directory = home.unfinished_buckets / digest.hexdigest()[:32]

    def path(self, source: BucketSource, item: BucketItem) -> Path:
        """Return the file of an item, by the range of its clients."""
        firsts = source.manifest.firsts
        end = "" if item.last + 1 == len(firsts) else firsts[item.last + 1]
        first = "" if item.first == 0 else firsts[item.first]
        return self._directory / f"{first}..{end}.npz"

    def has(self, source: BucketSource, item: BucketItem) -> bool:
        """Whether an earlier run has left the part of a bucket."""
        path = self.path(source, item)
        try:
            return bool(_load(path))
        except (OSError, ValueError, KeyError, BadZipFile):
            path.unlink(missing_ok=True)  # damaged, if there is one
            return False

    def remove(self) -> None:
        """Remove all parts."""
        if self._directory.exists():
            discard(self._directory)


def _remove_others(home: Home) -> None:
    """Remove the parts of snapshots that nobody finished: one process encodes at a time."""
    for directory in home.unfinished_buckets.glob("*"):
        discard(directory)


def _save(path: Path, snapshot: Snapshot) -> None:
    """Write a part: arrays with checksums."""
    make_directory(path.parent)
    with atomic_file(path) as temporary, temporary.open("wb") as file:
        names = np.array(snapshot.names or (), np.str_)
        np.savez(file, ids=snapshot.client_ids, vectors=snapshot.vectors, names=names)


def _load(path: Path) -> tuple[np.ndarray, np.ndarray, tuple[str, ...]]:
    with np.load(path, allow_pickle=False) as file:
        return file["ids"], file["vectors"], tuple(file["names"].tolist())


def _write(
    files: Sequence[Path],
    cutoff: datetime,
    path: Path,
    made_from: Origin,
    shop_ids: ShopIds | None,
) -> None:
    """Write the parts as one file, in its usual groups of rows."""
    _, vectors, names = _load(files[0])
    width = vectors.shape[1]
    with SnapshotWriter(path, cutoff, width, names or None, made_from, shop_ids) as writer:
        for ids, some in _grouped(_load(file)[:2] for file in files):
            writer.write(ids, some)


def _grouped(
    parts: Iterable[tuple[np.ndarray, np.ndarray]],
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Divide parts anew: each but the last has :data:`ROWS_PER_GROUP` clients."""
    waiting: list[tuple[np.ndarray, np.ndarray]] = []
    for part in parts:
        waiting.append(part)
        if sum(len(ids) for ids, _ in waiting) >= ROWS_PER_GROUP:
            ids, vectors = (np.concatenate(some) for some in zip(*waiting, strict=True))
            whole = len(ids) - len(ids) % ROWS_PER_GROUP
            for start in range(0, whole, ROWS_PER_GROUP):
                rows = slice(start, start + ROWS_PER_GROUP)
                yield ids[rows], vectors[rows]
            waiting = [(ids[whole:], vectors[whole:])]
    if waiting:
        ids, vectors = (np.concatenate(some) for some in zip(*waiting, strict=True))
        if len(ids):
            yield ids, vectors
