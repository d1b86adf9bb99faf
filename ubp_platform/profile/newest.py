"""Each client's newest profile, over several snapshots, and which of them have changed."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import numpy as np

from ubp_platform.blocks.snapshot import client_keys, iterate_clients
from ubp_platform.blocks.snapshot_files import SnapshotFile
from ubp_platform.profile.revisions import changed_clients

# Clients who are read at once.
_SLICE = 2048


@dataclass(frozen=True)
class Slice:
    """The newest profiles of some clients: of one cutoff."""

    cutoff: datetime
    keys: np.ndarray
    client_ids: list[int | str]
    vectors: np.ndarray

    def __str__(self) -> str:
        return f"{len(self.client_ids):,} clients from {self.client_ids[0]}"


def newest_profiles(
    files: Sequence[SnapshotFile], only: Mapping[Path, np.ndarray] | None = None
) -> Iterator[Slice]:
    """Yield each client's newest profile, as a training set would join it now.

    A client who is in no newer snapshot, such as one who left the list of relevant clients, keeps
    the profile of an older one.

    Parameters
    ----------
    files : sequence of SnapshotFile
        Oldest cutoff first.
    only : mapping of Path to ndarray of int64, optional
        The clients to yield of some files, by key; by default all.
    """
    seen = np.empty(0, np.int64)
    for snapshot in reversed(files):
        keys_here = [np.empty(0, np.int64)]
        for keys, client_ids, vectors in iterate_clients(snapshot.path, _SLICE):
            keys_here.append(keys)
            is_new = np.isin(keys, seen, assume_unique=True, invert=True)
            if only and snapshot.path in only:
                is_new &= np.isin(keys, only[snapshot.path], assume_unique=True)
            new = np.flatnonzero(is_new)
            if len(new):
                ids = client_ids.take(new).to_pylist()
                yield Slice(snapshot.cutoff, keys[new], ids, vectors[new])
        seen = np.union1d(seen, np.concatenate(keys_here))


@dataclass(frozen=True)
class Changes:
    """What has changed since a publish.

    Parameters
    ----------
    files : list of SnapshotFile
        The snapshots that are not online, oldest cutoff first.
    only : mapping of Path to ndarray of int64
        Of revisions, the clients with another profile than in the one before.
    clients : int
        Those with another profile.
    everybody : int
        All clients with a profile.
    """

    files: list[SnapshotFile]
    only: dict[Path, np.ndarray]
    clients: int
    everybody: int

    def rows(self) -> Iterator[Slice]:
        """Yield the profiles that have changed."""
        return newest_profiles(self.files, self.only)


def changes_between(
    online: Sequence[SnapshotFile], files: Sequence[SnapshotFile], clients_before: int
) -> Changes | None:
    """Find the profiles that differ between two lists of snapshots, each oldest cutoff first.

    Returns
    -------
    Changes or None
        None if all are to be written: nothing or half of it has changed, or the second list does
        not go on from the first.
    """
    old, now = {file.path for file in online}, {file.path for file in files}
    new = [file for file in files if file.path not in old]
    replaced = {file.cutoff: file for file in online if file.path not in now}
    newest = online[-1].cutoff
    in_order = all(file.cutoff >= newest for file in new)
    if not new or not in_order or not replaced.keys() <= {file.cutoff for file in new}:
        return None
    only = {
        file.path: changed_clients(replaced[file.cutoff].path, file.path)
        for file in new
        if file.cutoff in replaced
    }
    everybody = [client_keys(file.path) for file in new]
    changed = [only.get(file.path, keys) for file, keys in zip(new, everybody, strict=True)]
    clients = len(np.unique(np.concatenate(changed)))
    if 2 * clients >= clients_before:
        return None
    known = np.unique(np.concatenate([client_keys(file.path) for file in online]))
    strangers = np.setdiff1d(np.concatenate(everybody), known)
    return Changes(new, only, clients, clients_before + len(strangers))
