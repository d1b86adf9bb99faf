"""Statistics of the complete log, for reports."""

from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np

from ubp_platform.events.schema import EVENT_TYPES, EVENTS, Table
from ubp_platform.times import naive_utc
from ubp_platform.warehouse.warehouse import Warehouse

_WEEK, _MICROSECOND = timedelta(weeks=1), timedelta(microseconds=1)
# Shops are quiet at night: a week is complete if no more than this is missing at its ends.
_NIGHT = timedelta(hours=6)


@dataclass(frozen=True)
class TypeShape:
    """The events of one type.

    Parameters
    ----------
    name : str
    events, clients : int
    items : int
        Distinct products, pages or queries.
    """

    name: str
    events: int
    clients: int
    items: int


@dataclass(frozen=True)
class Shape:
    """The shape of a log.

    Parameters
    ----------
    types : list of TypeShape
        The types with an event.
    clients : int
        The number of clients with any event.
    first, last : datetime
        The first and the last event.
    weeks : list of datetime
        The start of each complete week of the log.
    weekly : dict of str to ndarray of int64, shape (n_weeks,)
        Events per week, by event type.
    activity : ndarray of int64
        The number of clients with 1, 2-3, 4-7, 8-15, … events.
    """

    types: list[TypeShape]
    clients: int
    first: datetime
    last: datetime
    weeks: list[datetime]
    weekly: dict[str, np.ndarray]
    activity: np.ndarray

    @property
    def events(self) -> int:
        """The number of all events."""
        return sum(kind.events for kind in self.types)


def shape(warehouse: Warehouse, weeks_from: datetime) -> Shape:
    """Measure a log; ``weeks_from`` is a midnight at which a week starts."""
    first, last = warehouse.event_times()
    types = [kind for kind in (_type(warehouse, event) for event in EVENTS) if kind.events]
    # The first week that does not start before the log, and the first that ends after it.
    start = -((weeks_from - first + _NIGHT) // _WEEK)
    stop = (last - weeks_from + _NIGHT) // _WEEK
    activity = _activity(warehouse)
    return Shape(
        types=types,
        clients=int(activity.sum()),
        first=first,
        last=last,
        weeks=[weeks_from + number * _WEEK for number in range(start, stop)],
        weekly={
            kind.name: _weekly(warehouse, kind.name, weeks_from, start, stop) for kind in types
        },
        activity=activity,
    )


def _type(warehouse: Warehouse, event: Table) -> TypeShape:
    counted = f"count(*), count(DISTINCT client_id), count(DISTINCT {event.item})"
    query = f"SELECT {counted} FROM {event.name}"
    return TypeShape(event.name, *warehouse.connection.execute(query).fetchall()[0])


def _weekly(
    warehouse: Warehouse, name: str, weeks_from: datetime, start: int, stop: int
) -> np.ndarray:
    """Count the events of one type in the weeks from ``start`` to before ``stop``."""
    origin = naive_utc(weeks_from)
    found = warehouse.connection.execute(
        f"""SELECT floor((epoch_us(timestamp) - epoch_us($origin::TIMESTAMP)) / $week)::INT AS week,
                   count(*) AS events
            FROM {name} GROUP BY week HAVING week >= $start AND week < $stop""",
        {"origin": origin, "week": _WEEK // _MICROSECOND, "start": start, "stop": stop},
    ).fetchnumpy()
    counts = np.zeros(max(0, stop - start), np.int64)
    counts[found["week"] - start] = found["events"]
    return counts


def _activity(warehouse: Warehouse) -> np.ndarray:
    """Count the clients with 1, 2-3, 4-7, … events."""
    parts = " UNION ALL ".join(f"SELECT client_id FROM {name}" for name in EVENT_TYPES)
    found = warehouse.connection.execute(
        f"""SELECT length(bin(events)) - 1 AS power, count(*) AS clients
            FROM (SELECT count(*) AS events FROM ({parts}) GROUP BY client_id)
            GROUP BY power"""
    ).fetchnumpy()
    return np.bincount(found["power"], found["clients"]).astype(np.int64)
