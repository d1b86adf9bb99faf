"""What the log knows that the profiles of a home were not made of."""

from contextlib import suppress
from datetime import datetime
from typing import Any

from ubp_platform.blocks.snapshot_files import SnapshotFile
from ubp_platform.errors import DamagedFile, UBPError, or_note
from ubp_platform.home import Home
from ubp_platform.profile.version import ProfileVersion
from ubp_platform.settings import Settings
from ubp_platform.store.served import Served
from ubp_platform.warehouse import Warehouse, delivery_times
from ubp_platform.warehouse.delivery_times import Known
from ubp_platform.warehouse.gaps import gaps


def freshness(
    warehouse: Warehouse,
    served: Served | None,
    profiles: list[ProfileVersion],
    damaged: list[DamagedFile],
) -> dict[str, Any]:
    """Say what the log knows that profiles do not."""
    last = None
    with suppress(UBPError):  # no events
        last = warehouse.event_times()[1].isoformat()
    return {
        "busy": None,
        "changed": _changed(warehouse, served, profiles),
        "last_event": last,
        "complete_until": _complete_until(warehouse),
        "stale": {one.name: _stale(warehouse, one, damaged) for one in profiles},
    }


def _changed(warehouse: Warehouse, served: Served | None, profiles: list[ProfileVersion]) -> bool:
    """Whether more is known by now of the time before the served cutoff than it was made of."""
    if served is None:
        return False
    if warehouse.identity(datetime.fromisoformat(served.cutoff)) == served.identity:
        return False
    mine = next((one for one in profiles if one.name == served.version), None)
    snapshots = or_note([], lambda: mine.snapshots) if mine else None
    return not any(
        snapshot.made_from.history == served.identity and is_as_delivered(warehouse, snapshot)
        for snapshot in snapshots or []
    )


def complete_until(home: Home) -> datetime | None:
    """Return up to when the log is complete; None if it has no events."""
    with Warehouse(home.warehouse, wait=True) as warehouse:
        found = _complete_until(warehouse)
    return datetime.fromisoformat(found) if found else None


def _complete_until(warehouse: Warehouse) -> str | None:
    with suppress(UBPError):  # no events
        _, last = warehouse.event_times()
        return delivery_times.complete_until(warehouse.connection, last).isoformat()
    return None


def gaps_in(warehouse: Warehouse) -> list[str]:
    """Say which event types have days without an event where there should be some."""
    until = _complete_until(warehouse)
    if until is None:
        return []
    times = Settings.load().compare_gap
    found = gaps(warehouse.connection, datetime.fromisoformat(until), times)
    return [gap.sentence for gap in found]


def _stale(warehouse: Warehouse, version: ProfileVersion, damaged: list[DamagedFile]) -> list[str]:
    """Return the cutoffs of which more is known by now than when they were encoded."""
    found = []
    newest = {one.cutoff: one for one in or_note(damaged, lambda: version.snapshots) or []}
    for snapshot in newest.values():
        cutoff, history = snapshot.cutoff, snapshot.made_from.history
        same = warehouse.identity(cutoff) == history or is_as_delivered(warehouse, snapshot)
        if snapshot.made_from.fits and not same:
            found.append(cutoff.isoformat())
    return found


def is_as_delivered(warehouse: Warehouse, snapshot: SnapshotFile) -> bool:
    """Whether events were left out of a snapshot that were delivered later, and only these."""
    cutoff, history = snapshot.cutoff, snapshot.made_from.history
    if warehouse.identity(cutoff, Known(delivered_before=cutoff)) != history:
        return False
    # Where nothing had come late yet, it was made of all that was known.
    return warehouse.identity(cutoff, Known(landed_before=snapshot.created)) != history
