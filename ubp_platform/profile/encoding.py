"""Encoding a cutoff with the fitted blocks of a profile."""

from datetime import datetime

import numpy as np

from ubp_platform.blocks.base import Block
from ubp_platform.blocks.catalog import Catalog, FittedBlock
from ubp_platform.blocks.encoding import encode_to_file
from ubp_platform.blocks.snapshot_files import Origin, SnapshotFile, is_current
from ubp_platform.errors import UBPError
from ubp_platform.home import Home
from ubp_platform.profile.normalizer import Normalizer
from ubp_platform.profile.version import ProfileVersion
from ubp_platform.progress import ProgressFactory
from ubp_platform.times import shown
from ubp_platform.warehouse import Warehouse, delivery_times, key_states
from ubp_platform.warehouse.delivery_times import EVERYTHING, Known, landing_times
from ubp_platform.warehouse.history import History


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


class ProfileEncoder:
    """Computes profiles of a version in memory; nothing is read but the fits.

    Parameters
    ----------
    home : Home
    warehouse : Warehouse
    version : ProfileVersion

    Attributes
    ----------
    known : ndarray of bool
        Of the clients who were encoded last: those with an event that one of the version's own
        parts can use.

    Raises
    ------
    UBPError
        If the fits are of other keys than the warehouse has.
    """

    known: np.ndarray

    def __init__(self, home: Home, warehouse: Warehouse, version: ProfileVersion) -> None:
        self._version = version
        self._source = ProfileEncoder(home, warehouse, version.source) if version.source else None
        self._parts: list[tuple[slice, Normalizer, Block]] = []
        for part, normalizer in version.own:
            fitted = Catalog(home).get(part.block, part.version, part.fit)
            key_states.require(warehouse.connection, fitted.keys, f"{fitted.name} {fitted.version}")
            block = fitted.load()
            block.scratch = home.scratch
            columns = slice(part.start, part.start + part.width)
            self._parts.append((columns, normalizer, block))

    def encode(
        self, history: History, clients: np.ndarray, source: np.ndarray | None = None
    ) -> np.ndarray:
        """Compute the profiles of the clients to which a history is narrowed.

        Parameters
        ----------
        history : History
        clients : ndarray of int64, shape (n_clients,)
            Ascending.
        source : ndarray of float32, optional
            Their profiles of the version that an aligned version maps, if they are known.

        Returns
        -------
        ndarray of float32, shape (n_clients, width)
            In their order; the mean profile of those without a usable event.
        """
        profiles = np.tile(self._version.mean, (len(clients), 1))
        self.known = np.zeros(len(clients), bool)
        if self._source:
            mapped = self._source.encode(history, clients) if source is None else source
            self._version.map(mapped, profiles)
        for columns, normalizer, block in self._parts:
            snapshot = block.encode(history)
            if len(snapshot.client_ids):
                rows = np.searchsorted(clients, snapshot.client_ids)
                self.known[rows] = True
                profiles[rows, columns] = normalizer.transform(snapshot.vectors)
        return profiles


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


def encode_blocks(
    home: Home,
    warehouse: Warehouse,
    parts: list[FittedBlock],
    cutoff: datetime,
    progress: ProgressFactory,
    known: Known = EVERYTHING,
) -> None:
    """Update the snapshots of fitted blocks at a cutoff; those that are up to date stay.

    The last parameter is that of :meth:`Warehouse.history
    <ubp_platform.warehouse.Warehouse.history>`.
    """
    for fitted in parts:
        key_states.require(warehouse.connection, fitted.keys, f"{fitted.name} {fitted.version}")
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
    for fitted, path, made_from in stale:
        block = fitted.load()
        block.scratch = home.scratch
        encode_to_file(block, history, path, made_from, progress, shop_ids=clients.shop_ids)
