"""``ubp quarantine``: list rows that broke a rule, and delete them once they are corrected."""

from dataclasses import dataclass

from ubp_platform.home import Home
from ubp_platform.warehouse import Warehouse, ledger


@dataclass(frozen=True)
class Quarantine:
    """Rows in the quarantine.

    Parameters
    ----------
    rows : list of dict
        Newest batch first, each with ``batch``, ``table``, ``file``, ``row``, ``rule`` and
        ``original``, the staged row as JSON.
    total : int
        The number of all rows, including those that are not listed.
    """

    rows: list[dict[str, object]]
    total: int


def quarantine(home: Home, batch: int | None = None, rows: int = 20) -> Quarantine:
    """List up to ``rows`` quarantined rows, of one batch or of all."""
    with Warehouse(home.warehouse) as warehouse:
        if batch is not None:
            ledger.require(warehouse.connection, batch)
        return Quarantine(*ledger.quarantined_rows(warehouse.connection, batch, rows))


def clear(home: Home, batch: int | None = None) -> int:
    """Delete quarantined rows, of one batch or of all, and return their number.

    The ledger and the Data Docs keep their batches.
    """
    # Fails if there is no warehouse, instead of creating one.
    with Warehouse(home.warehouse, wait=True):
        pass
    with Warehouse(home.warehouse, write=True, wait=True) as warehouse, warehouse.transaction():
        if batch is not None:
            ledger.require(warehouse.connection, batch)
        return ledger.clear_quarantine(warehouse.connection, batch)
