"""Encoding a cutoff with the fitted blocks of a profile."""

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime

import numpy as np

from ubp_platform.blocks.catalog import Catalog, FittedBlock
from ubp_platform.blocks.encoding import encode_to_file
from ubp_platform.blocks.snapshot_files import Origin, SnapshotFile, is_current
from ubp_platform.engine.base import HERE, Engine
from ubp_platform.errors import UBPError
from ubp_platform.home import Home
from ubp_platform.profile.bucket_encoding import encode_buckets
from ubp_platform.profile.bucket_work import BucketSource, ProfileBuckets
from ubp_platform.profile.encoder import ProfileEncoder, Profiles, compute_profiles
from ubp_platform.profile.version import ProfileVersion
from ubp_platform.progress import ProgressFactory, logged
from ubp_platform.times import shown
from ubp_platform.warehouse import Warehouse, delivery_times, key_states
from ubp_platform.warehouse.delivery_times import EVERYTHING, Known, landing_times


def known_cutoff(warehouse: Warehouse, cutoff: datetime | None) -> datetime:
    """Return a cutoff, or the default, and refuse one that the events do not reach.

    A snapshot of a later time would stay the newest while deliveries catch up with it.

    Parameters
    ----------
    warehouse : Warehouse
    cutoff : datetime, optional
        The newest instant up to which the log is complete by default.

    Raises
    ------
    UBPError
        If the cutoff is later than the default and than the last event, or before the first event.
    """
    first, last = warehouse.event_times()
    complete = delivery_times.complete_until(warehouse.connection, last)
    newest = delivery_times.newest_known(warehouse.connection) or last
    chosen = complete if cutoff is None else cutoff
    if chosen > max(complete, newest):
        raise UBPError(
            f"the cutoff {shown(chosen)} is too late: the last event is from "
            f"{shown(last)}, and the log is complete until {shown(complete)}; "
            "`ubp ingest --complete-until` can say otherwise"
        )
    if chosen <= first:
        hint = "" if cutoff else ", and no later day is complete: name one with --cutoff"
        raise UBPError(
            f"no event is before the cutoff {shown(chosen)}; the first is from {shown(first)}{hint}"
        )
    return chosen


def known_then(warehouse: Warehouse, file: SnapshotFile) -> Known | None:
    """Return what was known when a snapshot was made; None if that cannot be had any more.

    As after a reverted batch, or where the list of relevant clients is another one.
    """
    # After each of the batches, the newest first.
    for landed in (None, *landing_times(warehouse.connection)):
        for delivered in (None, file.cutoff):
            known = Known(delivered_before=delivered, landed_before=landed)
            if warehouse.identity(file.cutoff, known) == file.made_from.history:
                return known
    return None


def profiles_of(
    engine: Engine,
    home: Home,
    warehouse: Warehouse,
    versions: Sequence[ProfileVersion],
    cutoff: datetime,
    clients: np.ndarray,
    known: Known = EVERYTHING,
    progress: ProgressFactory = logged,
) -> Iterator[Profiles]:
    """Compute the profiles of some clients, in their order.

    Parameters
    ----------
    engine : Engine
    home : Home
    warehouse : Warehouse
    versions : sequence of ProfileVersion
        A version, then the aligned versions that map it.
    cutoff : datetime
    clients : ndarray of int64
        Ascending.
    known : Known
    progress : ProgressFactory
        Of what comes before.

    Raises
    ------
    UBPError
        If the fits are of other keys than the warehouse has.
    """
    history = warehouse.history(cutoff, clients, known)
    if not engine.reads_lake:
        encoders = [ProfileEncoder(home, one) for one in versions]
        require_keys(warehouse, (fit for one in encoders for fit in one.fits))
        yield from compute_profiles(encoders, history)
        return
    fits = list({fit.fit: fit for one in versions for fit in one.fits(home)}.values())
    require_keys(warehouse, fits)
    source = BucketSource.of(home, warehouse, history, known, fits, progress)
    work = ProfileBuckets(source, versions)
    for found in engine.in_order(work, source.items(clients)):
        yield from found


def encode_blocks(
    home: Home,
    warehouse: Warehouse,
    parts: list[FittedBlock],
    cutoff: datetime,
    progress: ProgressFactory,
    known: Known = EVERYTHING,
    engine: Engine = HERE,
) -> None:
    """Update the snapshots of fitted blocks at a cutoff; those that are up to date stay.

    ``known`` is that of :meth:`Warehouse.history <ubp_platform.warehouse.Warehouse.history>`.
    """
    require_keys(warehouse, parts)
    identity = warehouse.identity(cutoff, known)
    history = warehouse.history(cutoff, known=known)
    clients = warehouse.identifiers("client_id")
    catalog = Catalog(home)
    stale = []
    for fitted in parts:
        path = catalog.snapshot_path(fitted.name, fitted.version, cutoff)
        made_from = Origin(identity, fitted.fit)
        if not is_current(path, made_from):
            stale.append((fitted, path, made_from))
    for fitted, _, _ in stale:
        fitted.check()
    if stale and engine.reads_lake:
        fits = [fitted for fitted, _, _ in stale]
        source = BucketSource.of(home, warehouse, history, known, fits, progress)
        stale = encode_buckets(
            engine, home, source, warehouse.relevant, stale, progress, clients.shop_ids
        )
    for fitted, path, made_from in stale:
        block = fitted.load()
        block.scratch = home.scratch
        encode_to_file(block, history, path, made_from, progress, shop_ids=clients.shop_ids)


def require_keys(warehouse: Warehouse, fits: Iterable[FittedBlock]) -> None:
    """Raise UBPError if fits are of other keys than the warehouse has."""
    for fitted in fits:
        key_states.require(warehouse.connection, fitted.keys, f"{fitted.name} {fitted.version}")
