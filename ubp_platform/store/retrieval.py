"""Reading profiles: training sets as of past times, and lookups of clients."""

import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from ubp_platform.blocks.snapshot import EMBEDDING, has_text_ids
from ubp_platform.errors import UBPError
from ubp_platform.home import Home
from ubp_platform.profile.version import (
    ProfileVersion,
    checked_width,
    get_version,
    newest_version,
)
from ubp_platform.progress import ProgressFactory, logged
from ubp_platform.store.entities import ClientId, check_client_ids, entity_keys
from ubp_platform.store.feature_store import open_feature_store
from ubp_platform.store.objects import feast_objects, profile_view_name, snapshot_pattern
from ubp_platform.store.online import one_line_errors
from ubp_platform.store.served import Served

# Size of a training set's slice, whose profiles are in memory more than once. Small slices are
# slow: each is planned, and compared with the statistics of every row group.
_SLICE_BYTES = 400_000_000
# Clients per query; SQLite accepts at most 32,766 values.
_CLIENTS_PER_QUERY = 1000


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
        served = Served.read(self._home)
        name = version or (served.version if served else newest_version(self._home).name)
        self.version: ProfileVersion = get_version(self._home, name)
        self.width = checked_width(self.version, width)
        self._store = open_feature_store(self._home)
        view = profile_view_name(self.version.name)
        if not self._is_registered(view):
            # Trained since the last publish, or the home has moved: it can be used offline.
            self._store.apply(feast_objects(self._home))
        self._feature = f"{view}:{EMBEDDING}"
        self._served = served

    def _is_registered(self, view: str) -> bool:
        path = snapshot_pattern(self.version.directory)
        return any(
            registered.name == view and getattr(registered.batch_source, "path", None) == path
            for registered in self._store.list_feature_views()
        )

    @cached_property
    def has_text_ids(self) -> bool:
        """Whether the shop's client ids are text."""
        return any(has_text_ids(file.path) for file in self.version.snapshots[-1:])

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
        ids = check_client_ids(client_ids, self.has_text_ids)
        self._cutoff_online()
        profiles: list[Profile] = []
        for start in range(0, len(ids), _CLIENTS_PER_QUERY):
            profiles += self._read_online(ids[start : start + _CLIENTS_PER_QUERY])
        if profiles and not any(profile.known for profile in profiles):
            self._check_not_emptied()
        return profiles

    def _cutoff_online(self) -> datetime:
        """Return the cutoff that was published last, if the version is online at all."""
        name, kind = self.version.name, self._store.config.online_store.type
        served = self._served
        if served is None or name not in served.online:
            raise UBPError(
                f"profile {name} is not online: run `ubp publish --profile-version {name}` first"
            )
        if served.online_store != kind:
            raise UBPError(
                f"profile {name} is online in {served.online_store}, not in {kind}: set "
                f"UBP_ONLINE_STORE={served.online_store}, or run `ubp publish`"
            )
        return datetime.fromisoformat(served.online[name])

    def _read_online(self, client_ids: list[ClientId]) -> list[Profile]:
        with one_line_errors(self._store):
            response = self._store.get_online_features(
                features=[self._feature], entity_rows={"client_id": client_ids}
            ).proto
        names = list(response.metadata.feature_names.val)
        result = response.results[names.index(EMBEDDING)]
        name = self.version.name
        profiles = []
        for client_id, value, time in zip(
            client_ids, result.values, result.event_timestamps, strict=True
        ):
            numbers = value.float_list_val.val
            if len(numbers):
                vector = np.array(numbers[: self.width], dtype=np.float32)
                cutoff = datetime.fromtimestamp(time.seconds, UTC)
                profiles.append(Profile(client_id, vector, True, cutoff, name))
            else:
                profiles.append(Profile(client_id, self._mean.copy(), False, None, name))
        return profiles

    @property
    def _mean(self) -> np.ndarray:
        return self.version.mean[: self.width]

    def _check_not_emptied(self) -> None:
        """Distinguish unknown clients from a store that lost all of them, as a restarted Redis."""
        client_id = self._published_client
        if client_id is not None and not self._read_online([client_id])[0].known:
            raise UBPError(
                f"the online store has none of the published profiles {self.version.name}: is it "
                "the same store? `ubp publish` writes them again"
            )

    @cached_property
    def _published_client(self) -> ClientId | None:
        """The id of a client who was published; None if the snapshot no longer exists."""
        path = self.version.snapshot_path(self._cutoff_online())
        if not path.exists():
            return None
        first = next(pq.ParquetFile(path).iter_batches(1, columns=["client_id"]), None)
        return first["client_id"][0].as_py() if first else None

    def training_set(
        self, entities: pd.DataFrame | pa.Table, progress: ProgressFactory = logged
    ) -> TrainingSet:
        """Join each row with the newest profile of its client whose cutoff is not after its time.

        Parameters
        ----------
        entities : DataFrame or pyarrow.Table
            The columns ``client_id`` and ``event_timestamp`` (UTC unless it has a time zone), and
            any labels, which are carried along.
        progress : ProgressFactory

        Warns
        -----
        FutureModelWarning
            If a model or normalizer of the profile learned from events after a row's time.

        Raises
        ------
        UBPError
            If a column is missing or of the wrong type.
        """
        frame = entities.to_pandas() if isinstance(entities, pa.Table) else entities
        keys = entity_keys(frame, self.has_text_ids)
        self._warn_of_future_models(keys["event_timestamp"])
        X = np.empty((len(keys), self.width), np.float32)
        known = np.zeros(len(keys), dtype=bool)
        rows = max(1000, _SLICE_BYTES // (4 * self.version.width))
        # Sorted by client, each slice reads only a few row groups of the snapshots.
        keys = keys.sort_values("client_id", kind="stable")
        with progress("training set", len(keys), "rows") as advance:
            for start in range(0, len(keys), rows):
                part = keys.iloc[start : start + rows]
                positions, vectors = self._join(part)
                X[positions] = vectors
                known[positions] = True
                advance(len(part))
        X[~known] = self._mean
        return TrainingSet(X, known, frame, self.version.name)

    def _join(self, keys: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
        """Let Feast join; return the rows that have a profile, and their profiles."""
        joined = self._store.get_historical_features(
            entity_df=keys, features=[self._feature]
        ).to_arrow()
        if joined[EMBEDDING].null_count:
            joined = joined.filter(joined[EMBEDDING].is_valid())
        vectors = joined[EMBEDDING].combine_chunks().flatten().to_numpy()
        return joined["row"].to_numpy(), vectors.reshape(-1, self.version.width)[:, : self.width]

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
