"""``ubp quarantine``: rows that broke a rule, and forgetting them once they are mended."""

from dataclasses import dataclass

from ubp_platform.home import Home
from ubp_platform.warehouse import Warehouse, books


@dataclass(frozen=True)
class Quarantine:
    """What is in the quarantine.

    Parameters
    ----------
    rows : list of dict
        Newest batch first: ``batch``, ``table``, ``file``, ``row``, ``rule`` and ``original``, the
        row as it was staged, as JSON.
    total : int
        How many rows there are, shown or not.
    """

    rows: list[dict[str, object]]
    total: int


def quarantine(home: Home, batch: int | None = None, rows: int = 20) -> Quarantine:
    """Show quarantined rows.

    Parameters
    ----------
    home : Home
    batch : int, optional
        All batches by default.
    rows : int
        How many at most.

    Raises
    ------
    UBPError
        If there is no such batch.
    """
    with Warehouse(home.warehouse) as warehouse:
        if batch is not None:
            books.require(warehouse.connection, batch)
        return Quarantine(*books.quarantined_rows(warehouse.connection, batch, rows))


def clear(home: Home, batch: int | None = None) -> int:
    """Forget quarantined rows; the books and the Data Docs of their batches stay.

    Parameters
    ----------
    home : Home
    batch : int, optional
        All batches by default.

    Returns
    -------
    int
        How many there were.
    """
    with Warehouse(home.warehouse):  # says that there is none, and makes none
        pass
    with Warehouse(home.warehouse, write=True) as warehouse, warehouse.transaction():
        if batch is not None:
            books.require(warehouse.connection, batch)
        return books.clear_quarantine(warehouse.connection, batch)
