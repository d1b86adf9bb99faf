"""Profiles for those who use them: training sets with time travel, and lookups of a client."""

import operator
import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any, TypeAlias

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
from ubp_platform.progress import ProgressFactory, silent
from ubp_platform.store.feature_store import open_feature_store
from ubp_platform.store.objects import feast_objects, profile_view_name, snapshot_pattern
from ubp_platform.store.online import one_line_errors
from ubp_platform.store.served import Served

# A slice of a training set: its profiles are in memory more than once. Each costs a plan and a look
# at every row group's statistics, so small slices are slow.
_SLICE_BYTES = 400_000_000
# Clients in one query; SQLite takes no more than 32,766 values.
_KEYS = 1000


#: Of the shop's own type.
ClientId: TypeAlias = int | str


class FutureModelWarning(UserWarning):
    """Rows of a training set are older than what the models of their profiles learned from."""


@dataclass(frozen=True)
class Profile:
    """A client's profile.

    Parameters
    ----------
    client_id : int or str
        The shop's.
    vector : ndarray of float32, shape (width,)
    known : bool
        False where the client has no profile and the vector is the mean one.
    cutoff : datetime, optional
        The profile knows what happened before this instant.
    version : str
        The profile version.
    """

    client_id: ClientId
    vector: np.ndarray
    known: bool
    cutoff: datetime | None
    version: str


@dataclass(frozen=True)
class TrainingSet:
    """Profiles as they were known at each row's time.

    Parameters
    ----------
    X : ndarray of float32, shape (n, width)
    known : ndarray of bool, shape (n,)
        False where there was no profile of the client yet and the row is the mean one.
    entities : DataFrame
        The rows asked for, labels included, in the order given.
    version : str
        The profile version.
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
        The home of the platform.
    version : str, optional
        A profile version, such as ``"v1"``; by default the served one, or the newest before the
        first publish. A downstream model is trained and served on one version, so it never changes
        within a store.
    width : int, optional
        How many numbers of a profile to give, the first ones; all by default. A profile that begins
        with the block ``future_window`` is made so that its first 8, 16, 32, … numbers are each as
        good as so few can be: for models with few labels, and for cheap comparisons of clients.

    Raises
    ------
    UBPError
        If there is no profile yet, no such version, or it has not so many numbers.

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
        wanted = version or (served.version if served else newest_version(self._home).name)
        self.version: ProfileVersion = get_version(self._home, wanted)
        self.width = checked_width(self.version, width)
        self._store = open_feature_store(self._home)
        view = profile_view_name(self.version.name)
        if not self._is_registered(view):
            # Trained since the last publish, or the home has moved: offline it can be used already.
            self._store.apply(feast_objects(self._home))
        self._feature = f"{view}:{EMBEDDING}"
        self._served = served

    def _is_registered(self, view: str) -> bool:
        path = snapshot_pattern(self.version.directory)
        return any(
            known.name == view and getattr(known.batch_source, "path", None) == path
            for known in self._store.list_feature_views()
        )

    @cached_property
    def has_text_ids(self) -> bool:
        """Whether the shop's client ids are text."""
        return any(has_text_ids(file.path) for file in self.version.snapshots[-1:])

    def lookup(self, client_id: ClientId) -> Profile:
        """Read one client's newest profile from the online store.

        Parameters
        ----------
        client_id : int or str
            Of the shop's own type.

        Returns
        -------
        Profile
            The mean profile with ``known=False`` for a client nobody has seen.

        Raises
        ------
        UBPError
            If the version is not online, or the online store does not answer or has lost it.
        """
        return self.lookup_many([client_id])[0]

    def lookup_many(self, client_ids: Iterable[ClientId]) -> list[Profile]:
        """Read many clients' newest profiles from the online store.

        Parameters
        ----------
        client_ids : iterable of int or of str

        Returns
        -------
        list of Profile
            In the order given.

        Raises
        ------
        UBPError
            If the version is not online, or the online store does not answer or has lost it.
        """
        wanted = self._checked(client_ids)
        self._cutoff_online()
        result: list[Profile] = []
        for start in range(0, len(wanted), _KEYS):
            result += self._read_online(wanted[start : start + _KEYS])
        if result and not any(profile.known for profile in result):
            self._refuse_an_emptied_store()
        return result

    def _checked(self, client_ids: Iterable[Any]) -> list[ClientId]:
        """Insist on ids of the shop's type."""
        if self.has_text_ids:
            wanted = list(client_ids)
            if not all(isinstance(client_id, str) for client_id in wanted):
                raise UBPError("a client id of this shop is a text")
            return wanted
        try:
            numbers = [operator.index(client_id) for client_id in client_ids]
        except TypeError:
            raise UBPError("a client id of this shop is a whole number") from None
        if any(not -(2**63) <= client_id < 2**63 for client_id in numbers):
            raise UBPError("a client id of this shop is a whole number of 64 bits")
        return [*numbers]

    def _cutoff_online(self) -> datetime:
        """Give the cutoff that was published last, if the version is online at all."""
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
        found = response.results[names.index(EMBEDDING)]
        name = self.version.name
        profiles = []
        for client_id, value, time in zip(
            client_ids, found.values, found.event_timestamps, strict=True
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

    def _refuse_an_emptied_store(self) -> None:
        """Tell strangers from a store that has lost everybody, as a Redis may that is restarted."""
        known = self._somebody
        if known is not None and not self._read_online([known])[0].known:
            raise UBPError(
                f"the online store has none of the profiles {self.version.name} that were "
                "published: is it the same one? `ubp publish` writes them again"
            )

    @cached_property
    def _somebody(self) -> ClientId | None:
        """A client who was published; None where the snapshot is no longer there."""
        path = self.version.snapshot_path(self._cutoff_online())
        if not path.exists():
            return None
        first = next(pq.ParquetFile(path).iter_batches(1, columns=["client_id"]), None)
        return first["client_id"][0].as_py() if first else None

    def training_set(
        self, entities: pd.DataFrame | pa.Table, progress: ProgressFactory = silent
    ) -> TrainingSet:
        """Join each row with the newest profile of its client whose cutoff is not after its time.

        Parameters
        ----------
        entities : DataFrame or pyarrow.Table
            The columns ``client_id`` and ``event_timestamp`` (without a zone it is UTC), and any
            labels, which are carried along.
        progress : ProgressFactory

        Returns
        -------
        TrainingSet

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
        keys = _keys(frame, self.has_text_ids)
        self._warn_of_future_models(keys["event_timestamp"])
        X = np.empty((len(keys), self.width), np.float32)
        known = np.zeros(len(keys), dtype=bool)
        rows = max(1000, _SLICE_BYTES // (4 * self.version.width))
        # By client: each slice then touches a few row groups of the snapshots.
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
        """Let Feast join; give the rows that have a profile, and their profiles."""
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


def _keys(frame: pd.DataFrame, text: bool) -> pd.DataFrame:
    """Check and bring to Feast's form the columns a join needs."""
    missing = [name for name in ("client_id", "event_timestamp") if name not in frame.columns]
    if missing:
        raise UBPError(
            f"the entities lack the column {' and '.join(missing)}; they have "
            f"{', '.join(map(str, frame.columns)) or 'none'}"
        )
    client_ids = _text_ids(frame["client_id"]) if text else _whole_ids(frame["client_id"])
    if pd.api.types.is_numeric_dtype(frame["event_timestamp"]) and len(frame):
        raise UBPError("the entities' event_timestamp must be times, not numbers")
    try:
        # 02/03/2024 is a day in February for some, in March for others.
        times = pd.to_datetime(frame["event_timestamp"], utc=True, format="ISO8601")
    except (ValueError, TypeError):
        read = pd.to_datetime(frame["event_timestamp"], utc=True, format="ISO8601", errors="coerce")
        row = int(np.flatnonzero(read.isna())[0])
        raise UBPError(
            f"the entities' event_timestamp {str(frame['event_timestamp'].iloc[row])!r} in row "
            f"{row + 1} cannot be read; write times like 2017-12-18 06:00:00"
        ) from None
    if times.isna().any():
        raise UBPError("the entities' event_timestamp must be present in every row")
    return pd.DataFrame(
        {
            "client_id": client_ids,
            "event_timestamp": times.array,
            "row": np.arange(len(frame)),
        }
    )


def _whole_ids(column: pd.Series) -> np.ndarray:
    if not pd.api.types.is_integer_dtype(column) or column.isna().any():
        raise UBPError(
            f"the entities' client_id must be whole numbers, all present; it is of type "
            f"{column.dtype}"
        )
    if column.dtype.kind == "u" and (column >= 2**63).any():
        raise UBPError("the entities' client_id must be whole numbers of 64 bits with a sign")
    return column.to_numpy(np.int64)


def _text_ids(column: pd.Series) -> np.ndarray:
    values = column.astype(object).to_numpy()
    wrong = [value for value in values if not isinstance(value, str)]
    if wrong:
        raise UBPError(
            f"the entities' client_id must be texts, as this shop's are, all present; one is "
            f"{wrong[0]!r}"
        )
    return values
