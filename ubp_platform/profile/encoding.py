"""Encoding a cutoff with the fitted blocks of a profile."""

from datetime import datetime

from ubp_platform.blocks.catalog import Catalog, FittedBlock
from ubp_platform.blocks.encoding import encode_to_file
from ubp_platform.blocks.snapshot_files import Origin, is_current
from ubp_platform.errors import UBPError
from ubp_platform.home import Home
from ubp_platform.progress import ProgressFactory
from ubp_platform.warehouse import Warehouse, key_states


def known_cutoff(warehouse: Warehouse, cutoff: datetime | None) -> datetime:
    """Return a cutoff, or the default, and refuse one that the events do not reach.

    A snapshot of a later time would stay the newest while deliveries catch up with it.

    Raises
    ------
    UBPError
        If the cutoff is after the midnight that follows the last event, or before the first event.
    """
    first, last = warehouse.event_times()
    default = warehouse.default_cutoff()
    if cutoff is None:
        return default
    if cutoff > default:
        raise UBPError(
            f"the cutoff {cutoff:%Y-%m-%d %H:%M} is too late: the last event is from "
            f"{last:%Y-%m-%d %H:%M}, and nothing is known of what came after its day"
        )
    if cutoff <= first:
        raise UBPError(
            f"no event is before the cutoff {cutoff:%Y-%m-%d %H:%M}; the first is from "
            f"{first:%Y-%m-%d %H:%M}"
        )
    return cutoff


def encode_blocks(
    home: Home,
    warehouse: Warehouse,
    parts: list[FittedBlock],
    cutoff: datetime,
    progress: ProgressFactory,
) -> None:
    """Update the snapshots of fitted blocks at a cutoff; those that are up to date stay."""
    for fitted in parts:
        key_states.require(warehouse.connection, fitted.keys, f"{fitted.name} {fitted.version}")
    identity = warehouse.identity(cutoff)
    history, clients = warehouse.history(cutoff), warehouse.identifiers("client_id")
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
