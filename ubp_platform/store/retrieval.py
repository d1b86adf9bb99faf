"""Reading profiles: training sets as of past times, and lookups of clients."""

import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa

from ubp_platform.engine.base import HERE, Engine
from ubp_platform.errors import BadRequest, UBPError
from ubp_platform.home import Home, open_home
from ubp_platform.profile.listing import get_version, newest_version
from ubp_platform.profile.version import ProfileVersion, checked_width
from ubp_platform.progress import ProgressFactory, logged
from ubp_platform.store.as_served import profiles_as_served
from ubp_platform.store.entities import ClientId, check_client_ids, entity_keys
from ubp_platform.store.joining import Joining, slices
from ubp_platform.store.online import OnlineProfile
from ubp_platform.store.profile_lock import ProfileLock
from ubp_platform.store.publication import Publication
from ubp_platform.store.publish_log import PublishRecord, served_over_time
from ubp_platform.store.published_profiles import PublishedProfiles
from ubp_platform.store.served import Served
from ubp_platform.store.similar import SimilarClients, SimilarSearch

# How often a reading begins again that a publish or an encoding has overtaken.
_TRIES = 5


class FutureModelWarning(UserWarning):
    """Rows of a training set are older than events that the models of their profiles saw."""


@dataclass(frozen=True)
class Profile:
    """A client's profile.

    Parameters
    ----------
    client_id : int or str
    vector : ndarray of float32, shape (width,)
    known : bool
        False if the client has no profile and the vector is the mean profile.
    cutoff : datetime, optional
        The profile summarizes the events before this instant.
    version : str
    """

    client_id: ClientId
    vector: np.ndarray
    known: bool
    cutoff: datetime | None
    version: str


@dataclass(frozen=True)
class TrainingSet:
    """Profiles as of each row's time.

    Parameters
    ----------
    X : ndarray of float32, shape (n, width)
    known : ndarray of bool, shape (n,)
        False where the client had no profile yet and the row is the mean profile.
    entities : DataFrame
        The requested rows, labels included, in their order.
    version : str
    """

    X: np.ndarray
    known: np.ndarray
    entities: pd.DataFrame
    version: str


class ProfileStore:
    """Reads profiles of one version through Feast.

    Parameters
    ----------
    home : Home or path
    version : str, optional
        A profile version, such as ``"v1"``; by default the served version, or the newest one before
        the first publish. It never changes within a store, because a downstream model is trained
        and served on one version.
    width : int, optional
        Return only the first ``width`` numbers of a profile; all by default. A profile that begins
        with the block ``future_window`` is trained so that its first 8, 16, 32, … numbers are each
        as informative as that width allows: for models with few labels, and for cheap comparisons
        of clients.

    Raises
    ------
    UBPError
        If there is no profile or no such version, or a profile has fewer numbers.

    Examples
    --------
    >>> store = ProfileStore("ubp_home")                       # doctest: +SKIP
    >>> store.lookup(1228).vector.shape                        # doctest: +SKIP
    (234,)
    >>> ProfileStore("ubp_home", width=16).lookup(1228).vector.shape   # doctest: +SKIP
    (16,)
    """

    def __init__(
        self, home: Home | Path | str, version: str | None = None, width: int | None = None
    ) -> None:
        self._home = home if isinstance(home, Home) else Home(home=Path(home))
        self._home.check()
        name = version or _served_version(self._home)
        self.version: ProfileVersion = get_version(self._home, name)
        self.width = checked_width(self.version, width)
        self._online = PublishedProfiles(self._home, self.version)

    @classmethod
    def from_lock(
        cls, path: Path | str, home: Home | Path | str | None = None, version: str | None = None
    ) -> "ProfileStore":
        """Open the profile that a downstream model was trained on, and no other.

        Parameters
        ----------
        path : Path or str
            The ``*.profile.lock`` that `ubp training-set` wrote beside its output.
        home : Home or path, optional
            By default that of the settings.
        version : str, optional
            A version that is mapped into the space of the locked one, such as ``"v2@v1"``; by
            default the locked one itself.

        Raises
        ------
        UBPError
            If the version is not there, is another one of that name, or lies in another space.
        """
        lock = ProfileLock.read(Path(path))
        if not isinstance(home, Home):
            home = open_home(None if home is None else Path(home))
        found = get_version(home, version or lock.version)
        lock.require(found)
        return cls(home, found.name, lock.width)

    def lock(self, path: Path | str) -> None:
        """Write the lock that :meth:`from_lock` reads, for a model trained on this profile."""
        ProfileLock.of(self._home, self.version, self.width).write(Path(path))

    @cached_property
    def has_text_ids(self) -> bool:
        """Whether the shop's client ids are text."""
        return self._online.has_text_ids

    def lookup(self, client_id: ClientId) -> Profile:
        """Read one client's newest profile from the online store, as :meth:`lookup_many` does."""
        return self.lookup_many([client_id])[0]

    def lookup_many(self, client_ids: Iterable[ClientId]) -> list[Profile]:
        """Read many clients' newest profiles from the online store.

        Parameters
        ----------
        client_ids : iterable of int or of str
            Of the shop's own type.

        Returns
        -------
        list of Profile
            In the order of the ids; the mean profile with ``known=False`` for unknown clients.

        Raises
        ------
        UBPError
            If the version is not online, or the online store does not answer or has lost it.
        """
        return self.lookup_published(client_ids)[1]

    def lookup_published(self, client_ids: Iterable[ClientId]) -> tuple[Publication, list[Profile]]:
        """Look clients up as :meth:`lookup_many`, and say of which publish they all are."""
        ids = check_client_ids(client_ids, self.has_text_ids)
        publication, found = self._online.read(ids)
        return publication, [self._profile(*one) for one in zip(ids, found, strict=True)]

    def similar(
        self,
        to: ClientId | Sequence[ClientId] | np.ndarray,
        k: int = 10,
        *,
        by: Sequence[str] = (),
        filters: Sequence[str] = (),
    ) -> SimilarClients:
        """Find the clients with the most similar profiles (cosine).

        The index of the version, which ``ubp publish`` makes, names candidates; their order is
        that of the profiles that are served. With up to 50,000 clients nobody is missed.

        Parameters
        ----------
        to : int or str, sequence of them, or ndarray of float32
            A client; several, whose mean direction is taken; or a vector, of all columns or of
            those of ``by``. The clients themselves are left out.
        k : int
            From 1 to 1,000.
        by : sequence of str
            The blocks that are compared; all by default. Others need ``ubp index --by``.
        filters : sequence of str
            Conditions that similar clients meet, all of them: ``"buy_30d>=2"``,
            ``"last_days<30"``, ``"category=Tables"``. Names are those of the handcrafted features,
            and ``events``.

        Raises
        ------
        BadRequest
            If a client has no profile, there is no such index or block, or a filter cannot be.
        NotOnline
            If the version has no index, or is not online.
        UBPError
            As :meth:`lookup_many`.

        Examples
        --------
        >>> store.similar(1228, k=3, filters=["buy_30d>=1"])       # doctest: +SKIP
        """
        if isinstance(to, np.ndarray):
            return self.similar_search.find(to, k, by, filters)
        named = [to] if isinstance(to, int | str | np.integer) else list(to)
        if not named:
            raise BadRequest("nobody is named: give a client, several, or a vector")
        ids = check_client_ids(named, self.has_text_ids)
        return self.similar_search.find(ids, k, by, filters)

    @cached_property
    def similar_search(self) -> SimilarSearch:
        """The search for similar clients, and the facts that it has of all."""
        return SimilarSearch(self.version, self._online)

    def publication(self) -> Publication:
        """Return what is online of the version; raises as :meth:`lookup_many`."""
        return self._online.publication()

    def _profile(self, client_id: ClientId, found: OnlineProfile | None) -> Profile:
        name = self.version.name
        if found is None:
            return Profile(client_id, self._mean.copy(), False, None, name)
        return Profile(client_id, found.vector[: self.width], True, found.cutoff, name)

    @property
    def _mean(self) -> np.ndarray:
        return self.version.mean[: self.width]

    def training_set(
        self,
        entities: pd.DataFrame | pa.Table,
        progress: ProgressFactory = logged,
        *,
        as_served: bool = False,
        engine: Engine = HERE,
    ) -> TrainingSet:
        """Join each row with the newest profile of its client whose cutoff is not after its time.

        Parameters
        ----------
        entities : DataFrame or pyarrow.Table
            The columns ``client_id`` and ``event_timestamp`` (UTC unless it has a time zone), and
            any labels, which are carried along.
        progress : ProgressFactory
        as_served : bool
            Return what :meth:`lookup_many` returned at each row's time. By default profiles are
            restated: with late events, if `ubp encode` has run since they came.
        engine : Engine
            Where restated profiles are joined; its workers see the home's directory.

        Warns
        -----
        FutureModelWarning
            If a model or normalizer of the profile learned from events after a row's time.

        Raises
        ------
        UBPError
            If a column is missing or of the wrong type, or if it is not known what was served.
        """
        frame = entities.to_pandas() if isinstance(entities, pa.Table) else entities
        keys = entity_keys(frame, self.has_text_ids)
        self._warn_of_future_models(keys["event_timestamp"])
        for _ in range(_TRIES):
            state = self._snapshots()
            try:
                if as_served:
                    X, known = self._as_served(keys, progress)
                else:
                    X, known = self._join_all(keys, progress, engine)
            except Exception:
                if self._snapshots() == state:
                    raise
                continue
            if self._snapshots() == state:
                return TrainingSet(X, known, frame, self.version.name)
        raise UBPError(
            f"profile {self.version.name} was encoded {_TRIES} times while it was joined: run it "
            "again when `ubp encode` has finished"
        )

    def _as_served(
        self, keys: pd.DataFrame, progress: ProgressFactory
    ) -> tuple[np.ndarray, np.ndarray]:
        """Do as :meth:`_join_all`, with what was served at each row's time."""
        X = np.tile(self._mean, (len(keys), 1))
        known = np.zeros(len(keys), dtype=bool)
        publication = self._online.newest()
        records = served_over_time(self.version, publication)
        if publication and publication.publish and not records:
            raise UBPError(
                f"profile {self.version.name} was published by a release that kept no record of "
                "it: what was served is known from the next `ubp publish` on"
            )
        self._warn_of_rows_not_served(keys["event_timestamp"], records)
        with progress("training set", len(keys), "rows") as advance:
            for rows, vectors in profiles_as_served(self.version, records, keys):
                X[rows], known[rows] = vectors[:, : self.width], True
                advance(len(rows))
        return X, known

    def _snapshots(self) -> list[tuple[Path, int, int]]:
        """Identify the files that are joined, and check those that are new."""
        found = [(path, path.stat()) for path in self.version.check_snapshots()]
        return [(path, at.st_ino, at.st_mtime_ns) for path, at in found]

    def _join_all(
        self, keys: pd.DataFrame, progress: ProgressFactory, engine: Engine
    ) -> tuple[np.ndarray, np.ndarray]:
        """Join slices of the rows; return the profiles, and where there is one."""
        X = np.empty((len(keys), self.width), np.float32)
        known = np.zeros(len(keys), dtype=bool)
        work, parts = Joining(self._online, self.width), slices(keys, self.version.width)
        with progress("training set", len(keys), "rows") as advance:
            for rows, positions, vectors in engine.in_order(work, parts):
                X[positions], known[positions] = vectors, True
                advance(rows)
        X[~known] = self._mean
        return X, known

    def _warn_of_rows_not_served(self, times: pd.Series, records: list[PublishRecord]) -> None:
        since = records[0].served_from if records else None
        early = int((times < since).sum()) if since else len(times)
        if early:
            warnings.warn(
                f"{early:,} of {len(times):,} rows are from before the first publish of "
                f"{self.version.name}: nothing was served then, and they get the mean profile; for "
                "earlier times see `ubp encode --as-delivered`",
                stacklevel=4,
            )
        if ahead := int((times > datetime.now(UTC)).sum()):
            warnings.warn(
                f"{ahead:,} of {len(times):,} rows are in the future: what will be served then is "
                "not known; they get what is served now",
                stacklevel=4,
            )

    def _warn_of_future_models(self, times: pd.Series) -> None:
        learned = self.version.model_cutoff
        early = int((times < learned).sum())
        if early:
            warnings.warn(
                f"{early:,} of {len(times):,} rows are from before {learned:%Y-%m-%d %H:%M}: the "
                f"models of profile {self.version.name} learned from events after those rows. "
                "Scores on them will be too good; train with an earlier --cutoff",
                FutureModelWarning,
                stacklevel=3,
            )


def _served_version(home: Home) -> str:
    served = Served.read(home)
    return served.version if served else newest_version(home).name
