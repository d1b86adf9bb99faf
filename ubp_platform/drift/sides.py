"""The two sides of a comparison: the profiles of a version at a cutoff, and a sample of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property

import numpy as np
import pyarrow.parquet as pq

from ubp_platform.blocks.snapshot import client_keys, feature_names, iterate
from ubp_platform.blocks.snapshot_files import SnapshotFile, snapshot_files
from ubp_platform.blocks.state_arrays import digest
from ubp_platform.errors import UBPError
from ubp_platform.home import Home
from ubp_platform.profile.normalizer import Normalizer
from ubp_platform.profile.version import ProfilePart, ProfileVersion
from ubp_platform.times import shown

# Rows that are read at a time.
_SLICE = 2048


@dataclass(frozen=True)
class Side:
    """The profiles of a version at a cutoff.

    Parameters
    ----------
    version : ProfileVersion
    files : list of SnapshotFile
        Oldest first: one of all clients, and the partial ones after it. A client's profile is that
        of the newest one that has the client.
    """

    version: ProfileVersion
    files: list[SnapshotFile]

    @classmethod
    def of(cls, version: ProfileVersion, files: Sequence[SnapshotFile]) -> "Side":
        """Take of some snapshots, oldest first, those with the newest profile of all clients.

        Raises
        ------
        UBPError
            If there is none.
        """
        if not files:
            raise UBPError(
                f"profile {version.name} has no snapshot: "
                f"`ubp encode --profile-version {version.name}` writes one"
            )
        whole = [place for place, file in enumerate(files) if not file.partial]
        return cls(version, list(files[whole[-1] if whole else 0 :]))

    @property
    def cutoff(self) -> datetime:
        """The cutoff of the newest profiles."""
        return self.files[-1].cutoff

    @property
    def name(self) -> str:
        """Version and cutoff in words."""
        return f"{self.version.name} at {shown(self.cutoff)}"

    @property
    def argument(self) -> str:
        """How `ubp compare` is told it."""
        time = shown(self.cutoff).removesuffix(" 00:00").replace(" ", "T")
        return f"{self.version.name}/{time}"

    @cached_property
    def clients(self) -> np.ndarray:
        """The keys of all clients with a profile: int64, ascending.

        Raises
        ------
        DamagedFile
            If a snapshot is damaged.
        """
        return np.unique(np.concatenate([client_keys(file.path) for file in self.files]))

    def rows(self, chosen: np.ndarray) -> np.ndarray:
        """Read the newest profiles of some of its clients.

        Parameters
        ----------
        chosen : ndarray of int64
            Keys, ascending.

        Returns
        -------
        ndarray of float32, shape (len(chosen), width)
        """
        found = np.empty((len(chosen), self.version.width), np.float32)
        for file in self.files:  # a newer snapshot overwrites
            for keys, vectors in iterate(file.path, _SLICE):
                mine = np.flatnonzero(np.isin(keys, chosen, assume_unique=True))
                found[np.searchsorted(chosen, keys[mine])] = vectors[mine]
        return found

    def absent(self, part: ProfilePart, rows: np.ndarray) -> np.ndarray | None:
        """Return whose part is the mean, because the block knows no event of them.

        Parameters
        ----------
        part : ProfilePart
        rows : ndarray of float32, shape (n, width of the part)

        Returns
        -------
        ndarray of bool, shape (n,), or None
            None where that cannot be told: a part that an aligned version maps is computed from a
            whole profile.
        """
        fitted = next((one for own, one in self.version.own if own.block == part.block), None)
        found: np.ndarray | None = None if fitted is None else (rows == fitted.mean).all(axis=1)
        return found


def at(version: ProfileVersion, cutoff: datetime | None = None) -> Side:
    """Return a version's profiles at a cutoff, by default the newest one.

    Raises
    ------
    UBPError
        If there are none.
    """
    files = version.snapshots
    cutoffs = cutoffs_of(files)
    if cutoff and cutoff not in cutoffs:
        there = ", ".join(map(shown, cutoffs)) or "none yet"
        raise UBPError(
            f"profile {version.name} has no snapshot at {shown(cutoff)}; there are: {there}; "
            f"`ubp encode --cutoff TIME --profile-version {version.name}` writes one"
        )
    return Side.of(version, [file for file in files if not cutoff or file.cutoff <= cutoff])


def cutoffs_of(files: Sequence[SnapshotFile]) -> list[datetime]:
    """Return the cutoffs of some snapshots, each once, in their order."""
    return list(dict.fromkeys(file.cutoff for file in files))


def blocks_in_one_space(a: ProfileVersion, b: ProfileVersion) -> set[str]:
    """Return the blocks whose columns mean the same in both: of one fit, normalized alike.

    All blocks of an aligned version are in the space of the version that it is aligned with.
    """
    both = {part.block for part in a.parts} & {part.block for part in b.parts}
    if a.directory == b.directory or (_space(a) == _space(b) and all(_space(a))):
        return both
    ours, theirs = (
        {part.block: (part.fit, _digest(one)) for part, one in version.own} for version in (a, b)
    )
    return {name for name in both & ours.keys() if ours[name] == theirs.get(name) and ours[name][0]}


def _space(version: ProfileVersion) -> tuple[str, str]:
    aligned = version.description.aligned
    if aligned:
        return aligned.to_made_from, aligned.to_normalizers
    return version.made_from, version.description.normalizers


def _digest(normalizer: Normalizer) -> str:
    return digest(normalizer.arrays)


def column_names(home: Home, version: ProfileVersion, part: ProfilePart) -> tuple[str, ...] | None:
    """Return the names of a block's columns in a profile; None where they have none."""
    if part not in version.own_parts:
        return None
    files = snapshot_files(home.snapshots / part.block / part.fitted_as(home))
    names = feature_names(pq.read_schema(files[-1].path)) if files else None
    return names if names and len(names) == part.width else None
