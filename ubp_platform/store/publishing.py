"""Writing a profile version to the online store, checking it, and switching readers to it."""

import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np

from ubp_platform.blocks.snapshot import iterate_clients
from ubp_platform.errors import UBPError
from ubp_platform.home import Home
from ubp_platform.names import give_name
from ubp_platform.profile.version import ProfileVersion
from ubp_platform.progress import ProgressFactory
from ubp_platform.store import publish_log
from ubp_platform.store.entities import ClientId
from ubp_platform.store.objects import profile_view, text_ids
from ubp_platform.store.online import OnlineStore, Publication

# Clients who are written at once, and who are read back at the end.
_SLICE, _SAMPLE = 2048, 1000


@dataclass(frozen=True)
class Slice:
    """The newest profiles of some clients: of one cutoff."""

    cutoff: datetime
    client_ids: list[ClientId]
    vectors: np.ndarray


def newest_profiles(version: ProfileVersion) -> Iterator[Slice]:
    """Yield each client's newest profile, as a training set would join it now.

    A client who is in no newer snapshot, such as one who left the list of relevant clients, keeps
    the profile of an older one.
    """
    seen = np.empty(0, np.int64)
    for snapshot in reversed(version.snapshots):
        keys_here = [np.empty(0, np.int64)]
        for keys, client_ids, vectors in iterate_clients(snapshot.path, _SLICE):
            keys_here.append(keys)
            new = np.flatnonzero(np.isin(keys, seen, assume_unique=True, invert=True))
            if len(new):
                yield Slice(snapshot.cutoff, client_ids.take(new).to_pylist(), vectors[new])
        seen = np.union1d(seen, np.concatenate(keys_here))


def put_online(
    home: Home, store: OnlineStore, version: ProfileVersion, progress: ProgressFactory
) -> Publication:
    """Publish a profile version; readers switch to it when all of it is written and checked.

    Raises
    ------
    UBPError
        If the store does not answer, or does not hold what was written; readers then go on with
        what they had.
    """
    before = store.publication(version.name) or Publication()
    publish_log.complete(version, before)
    publish, text = give_name(home, "publishes", prefix="p"), text_ids([version])
    begun = before.model_copy(
        update={"previous": "", "unfinished": publish, "leaving": before.former}
    )
    store.announce(version.name, begun)
    for old in before.former:
        remove(store, version, old)
    view = profile_view(version, text, publish)
    store.create(view)
    newest, clients = version.snapshots[-1], 0
    title = f"publish {version.name}" + f" to {store.kind}" * (store.kind != "sqlite")
    with progress(title, newest.clients, "clients") as advance:
        for part in newest_profiles(version):
            store.write(view, part.client_ids, part.cutoff, part.vectors)
            clients += len(part.client_ids)
            advance(len(part.client_ids))
    _check(store, version, publish)
    publish_log.begin(version, publish)
    finished = Publication(
        publish=publish,
        previous=before.publish,
        cutoff=newest.cutoff,
        made_from=newest.made_from,
        clients=clients,
        served_from=datetime.now(UTC),
    )
    store.announce(version.name, finished)
    publish_log.complete(version, finished)
    return finished


def remove(store: OnlineStore, version: ProfileVersion, publish: str) -> None:
    """Remove a publish from the online store."""
    view = profile_view(version, text_ids([version]), publish)
    store.drop(view, (part.client_ids for part in newest_profiles(version)))


def difference(store: OnlineStore, version: ProfileVersion, publish: str) -> str:
    """Say how a publish differs from the snapshots; empty if it does not.

    The number of clients is compared, and the profiles of some, bit for bit.
    """
    view = profile_view(version, text_ids([version]), publish)
    clients, sample = 0, []
    step = max(1, version.snapshots[-1].clients // _SAMPLE)
    for part in newest_profiles(version):
        for row in range(-clients % step, len(part.client_ids), step):
            sample.append((part.client_ids[row], part.cutoff, part.vectors[row].copy()))
        clients += len(part.client_ids)
    found = store.count(view, (part.client_ids for part in newest_profiles(version)))
    if found not in (None, clients):
        return f"only {found:,} of {clients:,} clients are there"
    read = store.read(view, [client_id for client_id, _, _ in sample])
    for one, (client_id, cutoff, vector) in zip(read, sample, strict=True):
        if one is None:
            return f"client {client_id} is not there"
        if one.cutoff != cutoff or one.vector.tobytes() != vector.tobytes():
            return f"client {client_id} has another profile"
    return ""


def _check(store: OnlineStore, version: ProfileVersion, publish: str) -> None:
    policy = store.evicts
    if problem := difference(store, version, publish):
        cause = f" (its policy {policy} drops keys for want of memory)" if policy else ""
        raise UBPError(
            f"{store.where} does not hold what was just written: {problem}{cause}. Readers go on "
            "with what was served; give it room, then `ubp publish`"
        )
    if policy:
        warnings.warn(may_drop(store, policy), stacklevel=2)


def may_drop(store: OnlineStore, policy: str) -> str:
    """Say what a policy of :attr:`OnlineStore.evicts` does."""
    return (
        f"{store.where} drops keys when its memory is full (maxmemory-policy {policy}), and a "
        "client whose profile was dropped looks like an unknown one: set noeviction"
    )
