"""Writing a profile version to the online store, checking it, and switching readers to it."""

import warnings
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial

import numpy as np
from feast import FeatureView

from ubp_platform.blocks.snapshot import client_keys, sampled, shop_id_slices
from ubp_platform.blocks.snapshot_files import SnapshotFile
from ubp_platform.engine.base import HERE, Engine
from ubp_platform.errors import UBPError
from ubp_platform.home import Home
from ubp_platform.names import give_name
from ubp_platform.profile.newest import Changes, Slice, changes_between, newest_profiles
from ubp_platform.profile.version import ProfileVersion
from ubp_platform.progress import ProgressFactory
from ubp_platform.store import publish_log
from ubp_platform.store.objects import profile_view, text_ids
from ubp_platform.store.online import OnlineStore
from ubp_platform.store.publication import Publication

# Clients who are read back at the end, and whose rows are removed at once.
_SAMPLE, _SLICE = 1000, 2048


def put_online(
    home: Home,
    store: OnlineStore,
    version: ProfileVersion,
    progress: ProgressFactory,
    everybody: bool = False,
    engine: Engine = HERE,
) -> Publication:
    """Publish a profile version; readers switch to it when all of it is written and checked.

    Only what has changed is written, if that is less than half, and what is online seems whole;
    unless ``everybody`` is asked for. An engine's workers write to a server; the file of SQLite is
    written by this process.

    Raises
    ------
    UBPError
        If the store does not answer, or does not hold what was written; readers then go on with
        what they had.
    """
    before = store.publication(version.name) or Publication()
    publish_log.complete(version, before)
    changes = None if everybody else changes_since(store, version, before)
    publish, text = give_name(home, "publishes", prefix="p"), text_ids([version])
    begun = before.model_copy(
        update={"previous": "", "unfinished": publish, "leaving": before.former}
    )
    store.announce(version.name, begun)
    for old in before.former:
        remove(store, version, old)
    view = profile_view(version, text, publish)
    store.create(view)
    files, clients = version.snapshots, 0
    rows = partial(newest_profiles, files) if changes is None else changes.rows
    total = max(file.clients for file in files) if changes is None else changes.clients
    title = f"publish {version.name}" + f" to {store.kind}" * (store.kind != "sqlite")
    with progress(title, total, "clients") as advance:
        write = _Writing(store, view)
        for written in (HERE if store.kind == "sqlite" else engine).in_order(write, rows()):
            clients += written
            advance(written)
    _check(store, view, rows, clients)
    publish_log.begin(version, publish, "" if changes is None else before.table)
    finished = Publication(
        publish=publish,
        # A view that changes are written into is not what it was.
        previous=before.publish if changes is None else "",
        leaving=[before.base] if changes is None and before.base else [],
        cutoff=files[-1].cutoff,
        made_from=files[-1].made_from,
        clients=clients if changes is None else changes.everybody,
        served_from=datetime.now(UTC),
        base="" if changes is None else before.table,
    )
    store.announce(version.name, finished)
    publish_log.complete(version, finished)
    return finished if changes is None else _fold(store, version, finished, changes)


@dataclass(frozen=True)
class _Writing:
    """Writes slices of profiles into a view; the same slice may be written twice."""

    store: OnlineStore
    view: FeatureView

    def __call__(self, part: Slice) -> int:
        self.store.write(self.view, part.client_ids, part.cutoff, part.vectors)
        return len(part.client_ids)


def _fold(
    store: OnlineStore, version: ProfileVersion, publication: Publication, changes: Changes
) -> Publication:
    """Write changes into the view of all clients: readers get them from their own view already."""
    view = profile_view(version, text_ids([version]), publication.base)
    for part in changes.rows():
        store.write(view, part.client_ids, part.cutoff, part.vectors)
    folded = publication.model_copy(update={"folded": True, "leaving": [publication.publish]})
    store.announce(version.name, folded)
    return folded


def changes_since(
    store: OnlineStore, version: ProfileVersion, before: Publication
) -> Changes | None:
    """Find the profiles that differ from what is online.

    Returns
    -------
    Changes or None
        None if all are to be written: nothing or half of it has changed, or what is online is not
        what was published.
    """
    records = publish_log.served_over_time(version, before)
    if not records or records[-1].publish != before.publish or (before.base and not before.folded):
        return None
    try:
        online = publish_log.served_files(version, records[-1])
    except UBPError:  # a file of it is gone
        return None
    found = changes_between(online, version.snapshots, before.clients)
    return found if found and _seems_whole(store, version, before, online) else None


def _seems_whole(
    store: OnlineStore, version: ProfileVersion, before: Publication, online: list[SnapshotFile]
) -> bool:
    """Whether what is online has as many clients as were written, and those of a sample.

    Reading all of it would cost more than what has changed.
    """
    view = profile_view(version, text_ids([version]), before.table)
    if store.kind == "sqlite" and store.count(view, []) != before.clients:
        return False
    seen = np.empty(0, np.int64)
    for file in reversed(online):
        for keys, ids, vectors in sampled(file.path, _SAMPLE):
            rows = np.flatnonzero(np.isin(keys, seen, invert=True))
            found = store.read(view, ids.take(rows).to_pylist())
            for row, one in zip(rows, found, strict=True):
                if one is None or one.vector.tobytes() != vectors[row].tobytes():
                    return False
        seen = np.union1d(seen, client_keys(file.path))
    return True


def remove(store: OnlineStore, version: ProfileVersion, publish: str) -> None:
    """Remove a publish from the online store."""
    view = profile_view(version, text_ids([version]), publish)
    try:
        files = publish_log.written_files(version, publish)
    except UBPError:  # one of them is gone
        files = version.snapshots
    store.drop(view, (ids for file in files for ids in shop_id_slices(file.path, _SLICE)))


def difference(
    store: OnlineStore, view: FeatureView, rows: Callable[[], Iterable[Slice]], clients: int
) -> str:
    """Say how a view differs from what it should hold; empty if it does not.

    The number of clients is compared, and the profiles of some, bit for bit.

    Parameters
    ----------
    store : OnlineStore
    view : FeatureView
    rows : callable
        Yields what it should hold, as often as it is called.
    clients : int
        The number of clients about, to choose some evenly.
    """
    found, sample = 0, []
    step = max(1, clients // _SAMPLE)
    for part in rows():
        for row in range(-found % step, len(part.client_ids), step):
            sample.append((part.client_ids[row], part.cutoff, part.vectors[row].copy()))
        found += len(part.client_ids)
    counted = store.count(view, (part.client_ids for part in rows()))
    if counted not in (None, found):
        return f"only {counted:,} of {found:,} clients are there"
    read = store.read(view, [client_id for client_id, _, _ in sample])
    for one, (client_id, cutoff, vector) in zip(read, sample, strict=True):
        if one is None:
            return f"client {client_id} is not there"
        if one.cutoff != cutoff or one.vector.tobytes() != vector.tobytes():
            return f"client {client_id} has another profile"
    return ""


def _check(
    store: OnlineStore, view: FeatureView, rows: Callable[[], Iterable[Slice]], clients: int
) -> None:
    policy = store.evicts
    if problem := difference(store, view, rows, clients):
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
