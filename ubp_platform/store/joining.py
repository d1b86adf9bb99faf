"""Joining slices of a training set with the snapshots of a version."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd

from ubp_platform.blocks.snapshot import EMBEDDING
from ubp_platform.errors import UBPError
from ubp_platform.store.published_profiles import PublishedProfiles

# Size of a slice, whose profiles are in memory more than once. Small slices are slow: each is
# planned, and compared with the statistics of every row group.
_SLICE_BYTES = 400_000_000


@dataclass(frozen=True)
class Rows:
    """Some rows of a training set: ``client_id``, ``event_timestamp``, and ``row``, its number."""

    keys: pd.DataFrame

    def __str__(self) -> str:
        return f"{len(self.keys):,} rows of the training set"


def slices(keys: pd.DataFrame, width: int) -> Iterator[Rows]:
    """Yield rows sorted by client: each slice reads only a few row groups of the snapshots.

    Parameters
    ----------
    keys : DataFrame
    width : int
        Numbers in a profile.
    """
    rows = max(1000, _SLICE_BYTES // (4 * width))
    ordered = keys.sort_values("client_id", kind="stable")
    for start in range(0, len(ordered), rows):
        yield Rows(ordered.iloc[start : start + rows])


@dataclass(frozen=True)
class Joining:
    """Lets Feast join rows with the newest profiles that are not later.

    Parameters
    ----------
    profiles : PublishedProfiles
    width : int
        The numbers of each profile that are returned.
    """

    profiles: PublishedProfiles
    width: int

    def __call__(self, rows: Rows) -> tuple[int, np.ndarray, np.ndarray]:
        """Join.

        Returns
        -------
        rows : int
        positions : ndarray of int64, shape (n,)
            The numbers of the rows that have a profile.
        vectors : ndarray of float32, shape (n, width)

        Raises
        ------
        UBPError
            If the snapshots are not to be seen here.
        """
        directory = self.profiles.directory
        if not directory.is_dir():
            raise UBPError(
                f"{directory} is not to be seen here: workers join a training set in the home, so "
                "it has to be on a file system that all of them see; else leave out --engine ray"
            )
        joined = self.profiles.join(rows.keys)
        if joined[EMBEDDING].null_count:
            joined = joined.filter(joined[EMBEDDING].is_valid())
        flat = joined[EMBEDDING].combine_chunks().flatten().to_numpy()
        vectors = flat.reshape(-1, self.profiles.width)[:, : self.width]
        return len(rows.keys), joined["row"].to_numpy(), vectors
