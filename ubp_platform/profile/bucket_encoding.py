"""Encoding all buckets of the lake into snapshot files.

What a bucket's blocks give is kept in the scratch directory until all buckets are there: a run that
ended early goes on where it was.
"""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypeAlias

import numpy as np
import pyarrow.parquet as pq

from ubp_platform.blocks.catalog import FittedBlock
from ubp_platform.blocks.snapshot import (
    ROWS_PER_GROUP,
    ShopIds,
    SnapshotWriter,
    feature_names,
    iterate,
)
from ubp_platform.blocks.snapshot_files import Origin, check_snapshot, describe_snapshot
from ubp_platform.engine.base import Engine
from ubp_platform.errors import DamagedFile
from ubp_platform.files import discard
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
                snapshot.write(parts[name].path(source, item), parts[name].made_from)
            advance(source.clients(item))
    left = []
    for one in stale:
        fitted, path, made_from = one
        found_parts = parts[fitted.name]
        files = [file for item in everything if (file := found_parts.path(source, item)).exists()]
        if files:
            _write(files, path, made_from, shop_ids)
        else:
            left.append(one)
        found_parts.remove()
    _remove_others(home)
    return left


class _Parts:
    """The directory with the parts of one snapshot."""

    def __init__(self, home: Home, made_from: Origin) -> None:
        self.made_from = made_from
        digest = hashlib.sha256(f"{made_from.history}\n{made_from.fits}".encode())
        self._directory = home.unfinished_buckets / digest.hexdigest()[:32]

    def path(self, source: BucketSource, item: BucketItem) -> Path:
        """Return the file of an item, by the range of its clients."""
        firsts = source.manifest.firsts
        end = "" if item.last + 1 == len(firsts) else firsts[item.last + 1]
        first = "" if item.first == 0 else firsts[item.first]
        return self._directory / f"{first}..{end}.parquet"

    def has(self, source: BucketSource, item: BucketItem) -> bool:
        """Whether an earlier run has left the part of a bucket."""
        path = self.path(source, item)
        try:
            return path.exists() and bool(check_snapshot(path))
        except DamagedFile:
            return False

    def remove(self) -> None:
        """Remove all parts."""
        if self._directory.exists():
            discard(self._directory)


def _remove_others(home: Home) -> None:
    """Remove the parts of snapshots that nobody finished: one process encodes at a time."""
    for directory in home.unfinished_buckets.glob("*"):
        discard(directory)


def _write(files: Sequence[Path], path: Path, made_from: Origin, shop_ids: ShopIds | None) -> None:
    """Write the parts as one file, in its usual groups of rows."""
    first = describe_snapshot(files[0])
    names = feature_names(pq.read_schema(files[0]))
    with SnapshotWriter(path, first.cutoff, first.width, names, made_from, shop_ids) as writer:
        for ids, vectors in _grouped(part for file in files for part in iterate(file)):
            writer.write(ids, vectors)


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
