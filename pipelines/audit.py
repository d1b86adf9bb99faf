"""``ubp audit``: are the profiles that are served those that the events of their time give?

Some clients are looked up online, and their profiles are computed again from the warehouse as it
was known when they were encoded. Nothing may differ in a single bit.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime

import numpy as np

from ubp_platform.blocks.snapshot import iterate_clients
from ubp_platform.blocks.snapshot_files import SnapshotFile
from ubp_platform.engine.base import HERE, Engine
from ubp_platform.errors import UBPError
from ubp_platform.forgotten import Forgotten
from ubp_platform.home import Home
from ubp_platform.locks import exclusive
from ubp_platform.profile.encoding import known_then, profiles_of
from ubp_platform.profile.version import ProfileVersion
from ubp_platform.progress import ProgressFactory, logged, silent
from ubp_platform.store.entities import ClientId
from ubp_platform.store.publish_log import served_files, served_over_time
from ubp_platform.store.retrieval import Profile, ProfileStore
from ubp_platform.warehouse import Warehouse
from ubp_platform.warehouse.frozen import frozen


@dataclass(frozen=True)
class Difference:
    """A client whose profile is not what it should be.

    Parameters
    ----------
    client_id : int or str
    cutoff : datetime
    what : str
        Where the difference is.
    numbers : int
        How many of the profile's numbers differ.
    """

    client_id: ClientId
    cutoff: datetime
    what: str
    numbers: int


@dataclass
class Audit:
    """What an audit found.

    Parameters
    ----------
    version : str
    clients : int
        Who were looked up.
    computed : int
        Of these, the clients whose profiles were computed again.
    skipped : list of str
        Why others were not.
    differences : list of Difference
    knows_until : datetime, optional
        The newest event that the served profiles know of.
    last_event : datetime
        The newest event of the log.
    """

    version: str
    clients: int = 0
    computed: int = 0
    skipped: list[str] = field(default_factory=list)
    differences: list[Difference] = field(default_factory=list)
    knows_until: datetime | None = None
    last_event: datetime | None = None


def audit(
    home: Home,
    clients: int = 1000,
    progress: ProgressFactory = logged,
    engine: Engine = HERE,
) -> Audit:
    """Compare what is served with what is on disk, and with what the events give.

    Parameters
    ----------
    home : Home
    clients : int
        The number of clients to look up, evenly spaced.
    progress : ProgressFactory
    engine : Engine

    Raises
    ------
    UBPError
        If nothing is served.
    """
    # Nothing is encoded or published meanwhile.
    with exclusive(home, "encode"), frozen(home) as copy, Warehouse(copy.warehouse) as warehouse:
        store = ProfileStore(home)
        files = _served(store)
        result = Audit(store.version.name)
        _, result.last_event = warehouse.event_times()
        parts = list(_sample(files, clients))
        with progress("audit", sum(len(part.keys) for part in parts), "clients") as advance:
            for part in parts:
                result.clients += len(part.keys)
                online = store.lookup_many(part.client_ids)
                result.differences += _compare(part, online)
                _compute_again(copy, warehouse, store.version, part, result, engine)
                advance(len(part.keys))
    return result


@dataclass(frozen=True)
class _Part:
    """Some clients of a snapshot, and their profiles in it."""

    file: SnapshotFile
    keys: np.ndarray
    client_ids: list[ClientId]
    vectors: np.ndarray

    def of(self, chosen: np.ndarray) -> "_Part":
        """Return some of the clients: a boolean of each."""
        ids = [one for one, is_chosen in zip(self.client_ids, chosen, strict=True) if is_chosen]
        return _Part(self.file, self.keys[chosen], ids, self.vectors[chosen])


def _served(store: ProfileStore) -> list[SnapshotFile]:
    """Return the snapshots that are served, newest first."""
    publication = store.publication()
    records = served_over_time(store.version, publication)
    record = next((one for one in records if one.publish == publication.publish), None)
    if record is None:
        raise UBPError(
            f"profile {store.version.name} was published by a release that kept no record of it: "
            f"`ubp publish --profile-version {store.version.name}` keeps one"
        )
    return served_files(store.version, record)[::-1]


def _sample(files: list[SnapshotFile], wanted: int) -> Iterator[_Part]:
    """Take clients, evenly spaced, from where each is served from."""
    seen = np.empty(0, np.int64)
    for file in files:
        step = max(1, file.clients // wanted)
        here, keys, ids, vectors = [], [], [], []
        for slice_keys, slice_ids, slice_vectors in iterate_clients(file.path):
            here.append(slice_keys)
            new = np.flatnonzero(~np.isin(slice_keys, seen, assume_unique=True))[::step]
            keys.append(slice_keys[new])
            ids += slice_ids.take(new).to_pylist()
            vectors.append(slice_vectors[new].copy())
        if ids:
            yield _Part(file, np.concatenate(keys), ids, np.concatenate(vectors))
        seen = np.union1d(seen, np.concatenate([np.empty(0, np.int64), *here]))


def _compare(part: _Part, online: list[Profile]) -> Iterator[Difference]:
    for client_id, profile, vector in zip(part.client_ids, online, part.vectors, strict=True):
        if not profile.known:
            what, numbers = "not online", len(vector)
        elif profile.cutoff != part.file.cutoff:
            what, numbers = f"online as of {profile.cutoff}", len(vector)
        elif profile.vector.tobytes() != vector.tobytes():
            what, numbers = "online, not as on disk", _differing(profile.vector, vector)
        else:
            continue
        yield Difference(client_id, part.file.cutoff, what, numbers)


def _compute_again(
    home: Home,
    warehouse: Warehouse,
    version: ProfileVersion,
    part: _Part,
    result: Audit,
    engine: Engine,
) -> None:
    """Encode the clients as they were encoded, and compare."""
    cutoff = part.file.cutoff
    if warehouse.relevant is not None:
        # The others keep the profile that they had.
        part = part.of(np.isin(part.keys, warehouse.relevant))
    known = known_then(warehouse, part.file)
    if known is None:
        result.skipped.append(
            f"{cutoff:%Y-%m-%d %H:%M}: the events that it was encoded from are not all there any "
            "more, or the list of clients is another one"
        )
        return
    if Forgotten.read(home).since(part.file.created, cutoff):
        result.skipped.append(
            f"{cutoff:%Y-%m-%d %H:%M}: clients have been forgotten since, and what is counted over "
            "all clients was counted with them"
        )
        return
    newest = warehouse.history(cutoff, part.keys, known).last
    if newest and (result.knows_until is None or newest > result.knows_until):
        result.knows_until = newest
    slices = profiles_of(engine, home, warehouse, [version], cutoff, part.keys, known, silent)
    computed = (vector for one in slices for vector in one.vectors[0])
    result.computed += len(part.keys)
    for client_id, vector, expected in zip(part.client_ids, part.vectors, computed, strict=True):
        if vector.tobytes() != expected.tobytes():
            numbers = _differing(vector, expected)
            what = "on disk, not as computed again"
            result.differences.append(Difference(client_id, cutoff, what, numbers))


def _differing(one: np.ndarray, other: np.ndarray) -> int:
    return int((one.view(np.uint32) != other.view(np.uint32)).sum())
