"""Writing a profile version to the online store, checking it, and switching readers to it."""

import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

import numpy as np

from ubp_platform.blocks.snapshot import iterate_clients
from ubp_platform.errors import UBPError
from ubp_platform.home import Home
from ubp_platform.names import give_name
from ubp_platform.profile.version import ProfileVersion
from ubp_platform.progress import ProgressFactory
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
    publish, text = give_name(home, "publishes", prefix="p"), text_ids([version])
    begun = before.model_copy(update={"previous": "", "unfinished": publish})
    store.announce(version.name, begun)
    for old in {before.previous, before.unfinished} - {""}:
        remove(store, version, old)
    view = profile_view(version, text, publish)
    store.create(view)
    newest = version.snapshots[-1]
    clients, sample, step = 0, [], max(1, newest.clients // _SAMPLE)
    title = f"publish {version.name}" + f" to {store.kind}" * (store.kind != "sqlite")
    with progress(title, newest.clients, "clients") as advance:
        for part in newest_profiles(version):
            store.write(view, part.client_ids, part.cutoff, part.vectors)
            for row in range(-clients % step, len(part.client_ids), step):
                sample.append((part.client_ids[row], part.cutoff, part.vectors[row].copy()))
            clients += len(part.client_ids)
            advance(len(part.client_ids))
    _check(store, version, publish, clients, sample)
    finished = Publication(
        publish=publish, previous=before.publish, cutoff=newest.cutoff, clients=clients
    )
    store.announce(version.name, finished)
    return finished


def remove(store: OnlineStore, version: ProfileVersion, publish: str) -> None:
    """Remove a publish from the online store."""
    view = profile_view(version, text_ids([version]), publish)
    store.drop(view, (part.client_ids for part in newest_profiles(version)))


def _check(
    store: OnlineStore,
    version: ProfileVersion,
    publish: str,
    clients: int,
    sample: list[tuple[ClientId, datetime, np.ndarray]],
) -> None:
    """Compare what is online with what was written: the number, and some profiles bit for bit."""
    view = profile_view(version, text_ids([version]), publish)
    found = store.count(view, (part.client_ids for part in newest_profiles(version)))
    read = store.read(view, [client_id for client_id, _, _ in sample])
    right = sum(
        one is not None
        and one.cutoff == cutoff.replace(microsecond=0)
        and one.vector.tobytes() == vector.tobytes()
        for one, (_, cutoff, vector) in zip(read, sample, strict=True)
    )
    if found not in (None, clients) or right < len(sample):
        online = f"{found:,} of {clients:,}" if found is not None else f"{right} of {len(sample)}"
        policy = store.evicts
        advice = f": its policy {policy} drops them for want of memory" if policy else ""
        raise UBPError(
            f"{store.where} holds only {online} profiles that were just written{advice}; give it "
            "the room and `ubp publish` again. Readers go on with what was served"
        )
    if policy := store.evicts:
        warnings.warn(
            f"{store.where} drops keys when its memory is full (maxmemory-policy {policy}), and a "
            "client whose profile was dropped looks like an unknown one: set noeviction",
            stacklevel=2,
        )
