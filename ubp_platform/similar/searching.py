"""Finding similar clients in the indexes of a version."""

import threading
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np

from ubp_platform.errors import BadRequest, DamagedFile, NoIndex
from ubp_platform.followed import FollowedFile
from ubp_platform.profile.version import ProfileVersion
from ubp_platform.similar.directory import SimilarDescription, SimilarDirectory
from ubp_platform.similar.facts import Facts
from ubp_platform.similar.filters import allowed
from ubp_platform.similar.plane import Plane
from ubp_platform.similar.vectors import VectorIndex

# Masks of filters (a byte for each client) and pictures that are kept of a state.
_KEPT = 40
Made = TypeVar("Made")


@dataclass(frozen=True, eq=False)
class State:
    """The indexes of a version as they were written together.

    Parameters
    ----------
    description : SimilarDescription
    facts : Facts
    indexes : list of VectorIndex
        In the order of the description.
    scale : ndarray of float32, shape (n_levels, width)
        Quantiles of each number of a profile over all clients, ascending.
    """

    description: SimilarDescription
    facts: Facts
    indexes: list[VectorIndex]
    scale: np.ndarray
    # With the state, which keeps files mapped that may be of somebody who was forgotten.
    _made: dict[Hashable, Any] = field(default_factory=dict, init=False, repr=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False, repr=False)

    def search(
        self, vector: np.ndarray, count: int, by: Sequence[str] = (), filters: Sequence[str] = ()
    ) -> np.ndarray:
        """Return the slots of the clients nearest to a vector, the nearest first.

        Parameters
        ----------
        vector : ndarray of float32
            Of the columns of these blocks.
        count : int
            Fewer are returned where there are no more.
        by : sequence of str
            The blocks whose numbers are compared; all by default.
        filters : sequence of str
            Conditions that the clients meet.

        Raises
        ------
        BadRequest
            If there is no such index, or a filter cannot be.
        """
        return self._index(by).search(vector, count, self._mask(tuple(filters)))

    def is_exact(self, by: Sequence[str]) -> bool:
        """Whether nobody is missed by these blocks; raises as :meth:`search`."""
        return self._index(by).is_exact

    def _index(self, by: Sequence[str]) -> VectorIndex:
        stored = self.description.index(list(by))
        if stored is None:
            there = " or ".join(",".join(one.by) for one in self.description.indexes if one.by)
            raise BadRequest(
                f"there is no index by {','.join(by)}{f', but by {there}' * bool(there)}: "
                f"`ubp index --by {','.join(by)}` makes one"
            )
        return self.indexes[self.description.indexes.index(stored)]

    def _mask(self, filters: tuple[str, ...]) -> np.ndarray | None:
        if not filters:
            return None
        return self.remembered(
            filters, lambda: allowed(self.facts, self.description.cutoff, filters)
        )

    def remembered(self, key: Hashable, make: Callable[[], Made]) -> Made:
        """Return what was made of this state before, or make it; the oldest go after some."""
        with self._lock:
            if key in self._made:
                return self._made[key]
        made = make()
        with self._lock:
            self._made[key] = made
            while len(self._made) > _KEPT:
                self._made.pop(next(iter(self._made)))
        return made


class SimilarIndexes:
    """The newest indexes of a version; others are opened when they have been replaced.

    Parameters
    ----------
    version : ProfileVersion
    """

    def __init__(self, version: ProfileVersion) -> None:
        self._version, self._directory = version, SimilarDirectory(version)
        self._followed = FollowedFile(self._directory.description, self._open)

    def state(self) -> State:
        """Return the newest indexes.

        Raises
        ------
        NoIndex
            If there is none.
        DamagedFile
            If a file is missing or damaged.
        """
        found = self._followed.value()
        if found is None:
            name = self._version.name
            raise NoIndex(
                f"profile {name} has no index of similar clients: `ubp index --profile-version "
                f"{name}` makes one"
            )
        return found

    def _open(self) -> State | None:
        found = self._directory.read()
        while found is not None:
            try:
                return self._opened(found)
            except (DamagedFile, OSError, RuntimeError) as error:
                newer = self._directory.read()
                if newer == found:  # not replaced meanwhile
                    raise self._directory.unreadable(error) from None
                found = newer
        return None

    def _opened(self, found: SimilarDescription) -> State:
        paths = [self._directory.whole(one.file) for one in found.indexes]
        facts = Facts.open(self._directory.whole(found.facts))
        scale = Plane.open(self._directory.whole(found.plane)).scale
        return State(found, facts, list(map(VectorIndex.open, paths)), scale)
