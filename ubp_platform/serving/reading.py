"""Looking clients up for the server: the newest publish of the version that is asked for."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

import numpy as np

from ubp_platform.errors import BadRequest, NotOnline
from ubp_platform.events.integer_ids import integer_of, is_text
from ubp_platform.followed import FollowedFile
from ubp_platform.home import Home
from ubp_platform.profile.tags import read_tags
from ubp_platform.store.configuration import online_store
from ubp_platform.store.entities import ClientId
from ubp_platform.store.publication import Publication
from ubp_platform.store.retrieval import Profile, ProfileStore
from ubp_platform.store.served import Served
from ubp_platform.store.similar import SimilarClients


@dataclass(frozen=True)
class Reading:
    """Profiles of one version and of one publish.

    Parameters
    ----------
    version : str
    publication : Publication
    blocks : list of (str, int)
        The blocks of the vectors, with their widths.
    profiles : list of Profile
    """

    version: str
    publication: Publication
    blocks: list[tuple[str, int]]
    profiles: list[Profile]


@dataclass(frozen=True)
class SimilarQuestion:
    """A question for similar clients: of clients, or of a vector."""

    client_ids: Sequence[ClientId]
    vector: Sequence[float] | None
    k: int
    blocks: Sequence[str]
    filters: Sequence[str]
    version: str | None


class Reader:
    """Looks clients up in a home; each version is opened once.

    Parameters
    ----------
    home : Home
    """

    def __init__(self, home: Home) -> None:
        self.home = home
        self._served = FollowedFile(home.feast / "served.json", lambda: Served.read(home))
        self._tags = FollowedFile(home.profiles / "tags.json", lambda: read_tags(home))
        # Those that were opened since the last publish.
        self._stores: tuple[Served | None, dict[str, ProfileStore]] = (None, {})
        #: Whether the online store is SQLite, which answers at once.
        self.reads_a_file = online_store(home) == "sqlite"

    def served(self) -> Served | None:
        """Return what is served by default; None before the first publish."""
        return self._served.value()

    def store(self, version: str | None = None) -> ProfileStore:
        """Return the store of a version, of a tag, or of the version that is served.

        Raises
        ------
        NotOnline
            If there is no such version, or none was published.
        """
        served = self.served()
        if served is None:
            raise NotOnline("nothing has been published: run `ubp publish`")
        if self._stores[0] is not served:
            self._stores = (served, {})
        stores = self._stores[1]
        name = self._tags.value().get(version, version) if version else version
        if name is None:
            name = served.version
        if name not in stores:
            stores[name] = self._open(name, served.online)
        return stores[name]

    def _open(self, name: str, online: Mapping[str, str]) -> ProfileStore:
        if name not in online or not (self.home.profiles / name).is_dir():
            names = ", ".join([*online, *self._tags.value()]) or "none"
            raise NotOnline(f"no profile version {name!r} is online; there are: {names}")
        return ProfileStore(self.home, name)

    def read(self, ids: Sequence[ClientId], version: str | None, blocks: Sequence[str]) -> Reading:
        """Look clients up.

        Parameters
        ----------
        ids : sequence of int or str
            Whole numbers may be written as text, as they are in a URL.
        version : str, optional
        blocks : sequence of str
            Those of the vector; all by default.

        Raises
        ------
        BadRequest
            If an id is not of the shop's type, or there is no such block.
        NotOnline
            If there is no such version.
        StoreUnavailable
            If the store does not answer.
        """
        store = self.store(version)
        columns, parts = _columns(store, blocks)
        publication, profiles = store.lookup_published(_typed(ids, store.has_text_ids))
        if columns is not None:
            profiles = [replace(one, vector=one.vector[columns]) for one in profiles]
        return Reading(store.version.name, publication, parts, profiles)

    def similar(self, question: SimilarQuestion) -> tuple[str, SimilarClients]:
        """Find similar clients; raises as :meth:`read`, and BadRequest for strangers."""
        store = self.store(question.version)
        if question.vector is None:
            to: list[ClientId] | np.ndarray = _typed(question.client_ids, store.has_text_ids)
        else:
            with np.errstate(over="ignore"):  # what is too large becomes infinite, and is refused
                to = np.array(question.vector, np.float32)
        found = store.similar(to, question.k, by=question.blocks, filters=question.filters)
        return store.version.name, found

    def check(self, ids: Sequence[ClientId], version: str | None, blocks: Sequence[str]) -> None:
        """Raise what :meth:`read` would raise of a question that cannot be; nothing is read."""
        store = self.store(version)
        _columns(store, blocks)
        _typed(ids, store.has_text_ids)

    def versions(self) -> list[dict[str, object]]:
        """Describe the versions that are online, for ``/v1/versions``."""
        served, tags = self.served(), self._tags.value()
        if served is None:
            return []
        return [
            {
                "version": name,
                "cutoff": datetime.fromisoformat(cutoff),
                "served": name == served.version,
                "tags": sorted(tag for tag, of in tags.items() if of == name),
                **self._described(name),
            }
            for name, cutoff in served.online.items()
            if (self.home.profiles / name).is_dir()  # else it is being removed
        ]

    def _described(self, name: str) -> dict[str, object]:
        version = self.store(name).version
        aligned = version.description.aligned
        return {
            "width": version.width,
            "blocks": [{"block": block, "width": width} for block, width in version.widths],
            "created_at": version.description.created_at,
            "models_know_until": version.model_cutoff,
            "aligned_to": aligned.to if aligned else None,
        }


def _columns(
    store: ProfileStore, blocks: Sequence[str]
) -> tuple[np.ndarray | None, list[tuple[str, int]]]:
    """Return the columns of some blocks, in the order of the vector; None for all."""
    version = store.version
    named = version.ordered(blocks)
    if not named:
        return None, version.widths
    return version.columns(named), [
        (name, width) for name, width in version.widths if name in named
    ]


def _typed(ids: Sequence[ClientId], text: bool) -> list[ClientId]:
    if text:
        for one in ids:
            if not str(one).strip():
                raise BadRequest("an id is empty")
            if not is_text(str(one)):
                raise BadRequest("an id is no text: it has a lone surrogate")
        return [str(one) for one in ids]
    found: list[ClientId] = []
    for one in ids:
        number = integer_of(str(one))
        if number is None:
            raise BadRequest(f"client ids of this shop are whole numbers, not {str(one)[:80]!r}")
        found.append(number)
    return found
