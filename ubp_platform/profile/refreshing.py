"""Refreshing: new profiles for the clients of whom something new is known, and for old profiles.

The others keep theirs, with its cutoff: the snapshot of a refresh holds some clients. A training
set and a publish take each client's newest profile, so they agree.
"""

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np

from ubp_platform.blocks.snapshot import (
    ROWS_PER_GROUP,
    ShopIds,
    SnapshotWriter,
    client_keys,
)
from ubp_platform.blocks.snapshot_files import Origin, SnapshotFile, next_revision, snapshot_path
from ubp_platform.engine.base import HERE, Engine
from ubp_platform.errors import UBPError
from ubp_platform.events.schema import EVENTS
from ubp_platform.home import Home
from ubp_platform.profile.encoding import known_then, profiles_of
from ubp_platform.profile.version import ProfileVersion
from ubp_platform.progress import ProgressFactory
from ubp_platform.times import literal, shown
from ubp_platform.warehouse import Warehouse
from ubp_platform.warehouse.connection import database_name
from ubp_platform.warehouse.delivery_times import Known
from ubp_platform.warehouse.views import known_before


@dataclass(frozen=True)
class Due:
    """Whose profiles are due at a cutoff.

    Parameters
    ----------
    clients : ndarray of int64
        Keys, ascending.
    others : int
        Clients who keep their profile.
    strangers : ndarray of int64
        Those of the clients who have no profile yet.
    """

    clients: np.ndarray
    others: int
    strangers: np.ndarray


def together(plans: Sequence[Due]) -> Due:
    """Return whose profiles are due of any of several versions; the others are of the first."""
    clients = np.unique(np.concatenate([plan.clients for plan in plans]))
    more = len(np.setdiff1d(clients, plans[0].clients, assume_unique=True))
    strangers = np.unique(np.concatenate([plan.strangers for plan in plans]))
    return Due(clients, plans[0].others - more, strangers)


def due(
    warehouse: Warehouse, version: ProfileVersion, cutoff: datetime, max_age: timedelta
) -> Due | None:
    """Find out whose profiles are due.

    Parameters
    ----------
    warehouse : Warehouse
    version : ProfileVersion
    cutoff : datetime
    max_age : timedelta
        A profile that is as old at the cutoff is due also if nothing new is known of its client.

    Returns
    -------
    Due or None
        None if it is not known what the profiles were made of: then all are due.

    Raises
    ------
    UBPError
        If there are profiles of a later cutoff.
    """
    snapshots = version.snapshots[::-1]
    if snapshots and snapshots[0].cutoff > cutoff:
        raise UBPError(
            f"profile {version.name} is as of {shown(snapshots[0].cutoff)} already, which is later "
            f"than {shown(cutoff)}: `ubp encode --cutoff TIME` encodes past times"
        )
    seen, found = np.empty(0, np.int64), [np.empty(0, np.int64)]
    for snapshot in snapshots:
        known = known_then(warehouse, snapshot)
        if known is None or known.delivered_before:
            return None
        keys = client_keys(snapshot.path)
        mine = np.setdiff1d(keys, seen, assume_unique=True)
        seen = np.union1d(seen, keys)
        aged = cutoff - snapshot.cutoff >= max_age
        # A scan of all events, which an old partial snapshot does not need.
        if not (aged and snapshot.partial):
            touched = _touched(warehouse, snapshot, known, cutoff)
        found.append(mine if aged else np.intersect1d(mine, touched, assume_unique=True))
        if not snapshot.partial:
            strangers = np.setdiff1d(touched, seen, assume_unique=True)
            found.append(strangers)
            clients = np.unique(np.concatenate(found))
            if warehouse.relevant is not None:
                clients = np.intersect1d(clients, warehouse.relevant, assume_unique=True)
            others = len(np.setdiff1d(seen, clients, assume_unique=True))
            return Due(clients, others, strangers)
    return None


def _touched(
    warehouse: Warehouse, snapshot: SnapshotFile, known: Known, cutoff: datetime
) -> np.ndarray:
    """Return the clients with an event that a snapshot does not know of, ascending."""
    database = database_name(warehouse.connection)
    since, landed = literal(snapshot.cutoff), known.landed_before
    late = "false"
    if landed:
        batches = f'SELECT batch_id FROM "{database}".main.batch WHERE landed_at >= '  # noqa: S608
        late = f"batch_id IN ({batches}{literal(landed)})"
    new = f"(timestamp >= {since} OR known_from >= {since} OR {late})"
    parts = " UNION ".join(
        f'SELECT client_id FROM "{database}".main.{event.name} '  # noqa: S608
        f"WHERE {known_before(literal(cutoff))} AND {new}"
        for event in EVENTS
    )
    query = f"SELECT client_id FROM ({parts}) ORDER BY client_id"  # noqa: S608
    found: np.ndarray = warehouse.connection.execute(query).fetchnumpy()["client_id"]
    return found


def refresh(
    home: Home,
    warehouse: Warehouse,
    versions: Sequence[ProfileVersion],
    cutoff: datetime,
    plan: Due,
    progress: ProgressFactory,
    engine: Engine = HERE,
) -> int:
    """Write the profiles of some clients at a cutoff, as a partial snapshot of each version.

    At the cutoff of the newest snapshot, that is a further revision of it, unless there is nothing
    new at all. A stranger is left out without an event that the version can use.

    Parameters
    ----------
    home : Home
    warehouse : Warehouse
    versions : sequence of ProfileVersion
        A version, then the aligned versions that map it.
    cutoff : datetime
    plan : Due
    progress : ProgressFactory
    engine : Engine

    Returns
    -------
    int
        The number of clients whose profile was written.
    """
    clients, identity, count_written = plan.clients, warehouse.identity(cutoff), 0
    newest = versions[0].snapshots[-1]
    if not len(clients) and (newest.cutoff, newest.made_from.history) == (cutoff, identity):
        return 0
    shop_ids = warehouse.identifiers("client_id").shop_ids
    with ExitStack() as stack:
        writers = [
            stack.enter_context(_writer(version, cutoff, identity, shop_ids))
            for version in versions
        ]
        title = f"refresh {versions[0].name} {cutoff:%Y-%m-%d}"
        advance = stack.enter_context(progress(title, len(clients), "clients"))
        for found in profiles_of(
            engine, home, warehouse, versions, cutoff, clients, progress=progress
        ):
            kept = np.flatnonzero(found.known | ~np.isin(found.clients, plan.strangers))
            count_written += len(kept)
            for writer, vectors in zip(writers, found.vectors, strict=True):
                for row in range(0, len(kept), ROWS_PER_GROUP):
                    rows = kept[row : row + ROWS_PER_GROUP]
                    writer.write(found.clients[rows], vectors[rows])
            advance(len(found.clients))
    return count_written


def _writer(
    version: ProfileVersion, cutoff: datetime, identity: str, shop_ids: ShopIds | None
) -> SnapshotWriter:
    newest = version.snapshots[-1]
    again = newest.cutoff == cutoff
    return SnapshotWriter(
        next_revision(newest.path) if again else snapshot_path(version.directory, cutoff),
        cutoff,
        version.width,
        made_from=Origin(identity, version.made_from),
        shop_ids=shop_ids,
        after=newest.created if again else None,
        partial=True,
    )
