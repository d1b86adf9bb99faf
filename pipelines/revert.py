"""``ubp revert``: take a batch out of the warehouse again."""

from dataclasses import dataclass, field
from pathlib import Path

from pipelines.freshness import complete_until
from pipelines.ingest import discard_caches
from pipelines.prune import discard_beyond
from ubp_platform.home import Home
from ubp_platform.warehouse import Warehouse, ledger
from ubp_platform.warehouse.connection import INGEST_SHARE


@dataclass
class Reverted:
    """What ``ubp revert`` did.

    Parameters
    ----------
    lost : dict of str to int
        The number of rows that each table lost.
    again : list of str
        Files to deliver again, because rows of theirs were removed with this batch, and where they
        came from.
    discarded : list of Path
        Snapshots that were never served, of later times than the log is complete until now.
    """

    lost: dict[str, int] = field(default_factory=dict)
    again: list[str] = field(default_factory=list)
    discarded: list[Path] = field(default_factory=list)


def revert(home: Home, batch: int) -> Reverted:
    """Remove a batch, and what was encoded of later times than the log is complete until then.

    If a run was interrupted between the two, the same command does the second.

    Raises
    ------
    UBPError
        If there is no such batch.
    """
    # Fails if there is no warehouse, instead of creating one.
    with Warehouse(home.warehouse, wait=True) as warehouse:
        reverted = ledger.reverted_at(warehouse.connection, batch)
        if ledger.numbers(warehouse.connection) == [batch]:
            discard_caches(home)
    if reverted and (discarded := discard_beyond(home, complete_until(home), reverted)):
        return Reverted(discarded=discarded)
    with (
        Warehouse(home.warehouse, write=True, memory_share=INGEST_SHARE, wait=True) as warehouse,
        warehouse.transaction(),
    ):
        lost = ledger.revert(warehouse.connection, batch)
        again = ledger.to_deliver_again(warehouse.connection)
    return Reverted(lost, again, discard_beyond(home, complete_until(home)))
