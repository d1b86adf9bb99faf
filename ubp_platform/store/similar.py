"""Similar clients: found in an index, and ordered by the profiles that are served."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np

from ubp_platform.errors import BadRequest
from ubp_platform.profile.version import ProfileVersion
from ubp_platform.similar.facts import Client
from ubp_platform.similar.searching import SimilarIndexes, State
from ubp_platform.similar.vectors import unit
from ubp_platform.store.entities import ClientId
from ubp_platform.store.publication import Publication
from ubp_platform.store.published_profiles import PublishedProfiles

#: Similar clients of one question.
MOST = 1000
# Of an index of bytes the nearest are taken among so many times as many, or at least so many.
_TIMES, _AT_LEAST = 3, 30
# How often a search begins again that a publish has overtaken.
_TRIES = 5


@dataclass(frozen=True)
class Neighbour:
    """A client who is similar.

    Parameters
    ----------
    client : Client
        What is told of the client.
    similarity : float
        The cosine of the two vectors, from −1 to 1.
    """

    client: Client
    similarity: float


@dataclass(frozen=True)
class SimilarClients:
    """Clients who are similar to one, to several, or to a vector.

    Parameters
    ----------
    version : str
    publication : Publication
        What their profiles are of.
    index_cutoff : datetime
        The index knows profiles up to this cutoff.
    by : list of str
        The blocks that were compared; empty for all.
    neighbours : list of Neighbour
        The most similar first.
    """

    version: str
    publication: Publication
    index_cutoff: datetime
    by: list[str]
    neighbours: list[Neighbour]


class SimilarSearch:
    """Finds clients who are similar, of one version.

    Parameters
    ----------
    version : ProfileVersion
    online : PublishedProfiles
    """

    def __init__(self, version: ProfileVersion, online: PublishedProfiles) -> None:
        self._version, self._online = version, online
        self.indexes = SimilarIndexes(version)

    def find(
        self,
        to: Sequence[ClientId] | np.ndarray,
        count: int,
        by: Sequence[str],
        filters: Sequence[str],
    ) -> SimilarClients:
        """Find them; see :meth:`ProfileStore.similar
        <ubp_platform.store.retrieval.ProfileStore.similar>`.
        """
        if not 1 <= count <= MOST:
            raise BadRequest(f"{count} similar clients: ask for 1 to {MOST:,}")
        named = self._version.ordered(by)
        for _ in range(_TRIES):
            found = self._find(self.indexes.state(), to, count, named, filters)
            if found:
                return found
        raise BadRequest(f"profiles were published {_TRIES} times during this search: ask again")

    def _find(
        self,
        state: State,
        to: Sequence[ClientId] | np.ndarray,
        count: int,
        by: list[str],
        filters: Sequence[str],
    ) -> SimilarClients | None:
        """Find them; None if another publish has overtaken the search."""
        columns = self._version.columns(by)
        if isinstance(to, np.ndarray):
            given: set[ClientId] = set()
            vector = self._checked(to, columns)
            publication = self._online.publication()
        else:
            given = set(to)
            publication, vector = self._middle(to, columns)
        same = state.description.publish == publication.publish
        exact = same and state.is_exact(by)
        most = len(given) + (count if exact else max(_TIMES * count, _AT_LEAST))
        slots = state.search(vector, most, by, filters)
        ids = state.facts.ids(slots)
        candidates = [pair for pair in zip(ids, slots, strict=True) if pair[0] not in given]
        now, profiles = self._online.read([one for one, _ in candidates])
        if now.publish != publication.publish:
            return None
        known = [
            (slot, profile.vector[columns])
            for (_, slot), profile in zip(candidates, profiles, strict=True)
            if profile  # else removed since
        ]
        neighbours = []
        if known:
            rows = np.stack([own for _, own in known])
            cosines = np.clip(unit(rows) @ unit(vector[None])[0], -1, 1)
            for place in np.argsort(-cosines, kind="stable")[:count]:
                client = state.facts.client(known[place][0])
                neighbours.append(Neighbour(client, float(cosines[place])))
        return SimilarClients(
            self._version.name, publication, state.description.cutoff, by, neighbours
        )

    def _checked(self, vector: np.ndarray, columns: np.ndarray) -> np.ndarray:
        row = np.asarray(vector, np.float32)
        if row.shape != (len(columns),):
            raise BadRequest(
                f"the vector has {row.size:,} numbers; of these blocks a profile has "
                f"{len(columns):,}"
            )
        if not np.isfinite(row).all() or not row.any():
            raise BadRequest("the vector must have finite numbers, and not zeros alone")
        found: np.ndarray = row / np.abs(row).max()  # whose length is no matter
        return found

    def _middle(
        self, clients: Sequence[ClientId], columns: np.ndarray
    ) -> tuple[Publication, np.ndarray]:
        """Return the mean direction of some clients, and the publish that it is of."""
        publication, found = self._online.read(clients)
        for one, profile in zip(clients, found, strict=True):
            if profile is None:
                raise BadRequest(
                    f"client {str(one)[:80]!r} has no profile, so nobody is similar: only clients "
                    "with events have one"
                )
        rows = unit(np.stack([one.vector[columns] for one in found if one]))
        middle: np.ndarray = rows.mean(axis=0)
        if not unit(middle[None]).any():
            raise BadRequest("these blocks know nothing of these clients: compare by others")
        return publication, middle
