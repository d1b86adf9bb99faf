"""``ubp revert``: take a batch out of the warehouse again."""

from ubp_platform.files import discard
from ubp_platform.home import Home
from ubp_platform.warehouse import Warehouse, ledger
from ubp_platform.warehouse.connection import INGEST_SHARE


def revert(home: Home, batch: int) -> tuple[dict[str, int], list[str]]:
    """Remove a batch; see :func:`ledger.revert`.

    Returns
    -------
    lost : dict of str to int
        The number of rows that each table lost.
    again : list of str
        Files to deliver again, because rows of theirs were removed with this batch, and where they
        came from.
    """
    # Fails if there is no warehouse, instead of creating one.
    with Warehouse(home.warehouse, wait=True) as warehouse:
        if ledger.numbers(warehouse.connection) == [batch]:
            discard_caches(home)
    with (
        Warehouse(home.warehouse, write=True, memory_share=INGEST_SHARE, wait=True) as warehouse,
        warehouse.transaction(),
    ):
        lost = ledger.revert(warehouse.connection, batch)
        return lost, ledger.to_deliver_again(warehouse.connection)


def discard_caches(home: Home) -> None:
    """Remove cached vectors, which name clients by keys that are going to begin anew."""
    discard(home.scratch / "lm")
