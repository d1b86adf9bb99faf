"""``ubp lake``: the log in buckets of clients, for many machines to read."""

from dataclasses import dataclass

from ubp_platform.home import Home
from ubp_platform.lake.opening import place_of, write_own
from ubp_platform.lake.writing import Written
from ubp_platform.locks import exclusive
from ubp_platform.progress import ProgressFactory, logged
from ubp_platform.warehouse import Warehouse
from ubp_platform.warehouse.frozen import frozen


@dataclass(frozen=True)
class Lake:
    """Where a lake lies, and what was written."""

    place: str
    written: Written


def lake(
    home: Home,
    progress: ProgressFactory = logged,
    *,
    bucket_clients: int | None = None,
    anew: bool = False,
) -> Lake:
    """Bring the lake of a home up to date with its warehouse.

    Nothing is encoded meanwhile.

    Parameters
    ----------
    home : Home
    progress, bucket_clients, anew
        As in :func:`~ubp_platform.lake.writing.write_lake`.

    Raises
    ------
    UBPError
        If nothing has been ingested, or the lake's place does not answer.
    """
    home.require()
    place = place_of(home)
    with exclusive(home, "encode"), frozen(home) as copy, Warehouse(copy.warehouse) as warehouse:
        written = write_own(
            home, place, warehouse, progress, bucket_clients=bucket_clients, anew=anew
        )
    return Lake(place.url, written)
