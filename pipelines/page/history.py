"""A client's history for people: what happened when, in the shop's own words."""

from collections import Counter
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import numpy as np

from ubp_platform.events.schema import EVENT_TYPES
from ubp_platform.home import Home
from ubp_platform.profile.encoding import known_then
from ubp_platform.profile.version import ProfileVersion
from ubp_platform.store.entities import ClientId
from ubp_platform.warehouse import Warehouse
from ubp_platform.warehouse.delivery_times import EVERYTHING
from ubp_platform.warehouse.history import History

#: Events that are listed.
LISTED = 40
# Bubbles of a line, at most; the largest radius, in the units of the picture.
_BINS, _LARGEST = 40, 11.0
#: The width of the picture, the height of a line, and where lines begin.
WIDTH, LINE, LEFT = 900, 30, 120


@dataclass(frozen=True)
class Event:
    """One event.

    Parameters
    ----------
    time : datetime
    kind : str
        ``product buy``, ``page visit``, ….
    what : str
        Product, page or words of the query.
    more : str
        Category and price.
    known : bool
        Whether the profile knows it.
    """

    time: datetime
    kind: str
    what: str
    more: str
    known: bool


@dataclass(frozen=True)
class Bubble:
    """Some events of one type, in the units of the picture."""

    x: float
    y: float
    radius: float
    title: str


@dataclass(frozen=True)
class Timeline:
    """A history.

    Parameters
    ----------
    events : list of Event
        The newest, the newest first.
    total : int
    late : int
        Events before the cutoff that became known later.
    kinds : list of str
        The types of events, a line each.
    bubbles : list of Bubble
    ticks : list of (float, str)
        Times under the lines.
    cutoff : float, optional
        Where the profile's knowledge ends; None if that is the picture's end.
    height : int
    """

    events: list[Event]
    total: int
    late: int
    kinds: list[str]
    bubbles: list[Bubble]
    ticks: list[tuple[float, str]]
    cutoff: float | None
    height: int


def timeline(
    home: Home, version: ProfileVersion, client_id: ClientId, known_until: datetime
) -> Timeline | None:
    """Read a client's history; None if there is no event.

    Parameters
    ----------
    home : Home
    version : ProfileVersion
    client_id : int or str
    known_until : datetime
        The cutoff of the client's profile.

    Raises
    ------
    UBPError
        If the warehouse is missing, or being written.
    """
    with Warehouse(home.warehouse) as warehouse:
        key = np.asarray(
            warehouse.identifiers("client_id").keys(np.array([str(client_id)])), np.int64
        )
        _, last = warehouse.event_times()
        end = max(last + timedelta(microseconds=1), known_until)
        history = warehouse.history(end, key)
        rows, weeks = _rows(history), _weeks(history)
        made = [file for file in version.snapshots if file.cutoff == known_until]
        known = (known_then(warehouse, made[-1]) if made else None) or EVERYTHING
        then = warehouse.history(known_until, key, known)
        known_rows = Counter(map(_identity, _rows(then)))
        late = _count(warehouse.history(known_until, key)) - _count(then)
    if not rows:
        return None
    events = []
    for row in rows:
        is_known = known_rows[_identity(row)] > 0
        known_rows[_identity(row)] -= is_known
        events.append(_event(row, is_known))
    return _drawn(events, weeks, end, known_until, late)


def _rows(history: History) -> list[dict[str, Any]]:
    """Return the newest events, of all types."""
    types = (1 << len(EVENT_TYPES)) - 1
    found: list[dict[str, Any]] = history.table("timeline", last=LISTED, types=types).to_pylist()
    return found


def _weeks(history: History) -> list[dict[str, int]]:
    found: list[dict[str, int]] = history.table("activity_weeks").to_pylist()
    return found


def _count(history: History) -> int:
    return sum(row["events"] for row in _weeks(history))


def _identity(row: dict[str, Any]) -> tuple[Any, ...]:
    """Return what tells an event apart, without what a product is called at some time."""
    return tuple(row[name] for name in ("timestamp", "event_type", "product", "page", "query"))


def _event(row: dict[str, Any], is_known: bool) -> Event:
    money, bucket = row["money"], row["bucket"]
    price = f"{money:,.2f}" if money is not None else f"price level {bucket}" if bucket else ""
    what = row["name"] or row["product"] or row["page"] or row["query"] or ""
    more = [row["category"], price] if row["product"] else []
    return Event(
        time=row["timestamp"],
        kind=EVENT_TYPES[row["event_type"]].replace("_", " "),
        what=str(what),
        more=", ".join(str(one) for one in more if one),
        known=is_known,
    )


def _drawn(
    events: list[Event],
    weeks: list[dict[str, int]],
    end: datetime,
    known_until: datetime,
    late: int,
) -> Timeline:
    types = sorted({row["event_type"] for row in weeks})
    span = max(row["week"] for row in weeks) + 1
    wide = -(-span // _BINS)  # weeks of a bubble
    bins = -(-span // wide)
    counts: dict[tuple[int, int], int] = {}
    for row in weeks:
        place = row["event_type"], row["week"] // wide
        counts[place] = counts.get(place, 0) + row["events"]
    most, step = max(counts.values()), (WIDTH - LEFT - 20) / bins

    def x(weeks_ago: float) -> float:
        return round(LEFT + (bins - weeks_ago / wide) * step, 1)

    bubbles = []
    for (kind, ago), count in sorted(counts.items()):
        start = end - timedelta(weeks=(ago + 1) * wide)
        label = f"{count:,} {EVENT_TYPES[kind].replace('_', ' ')}, {_span(start, wide)}"
        radius = max(2.0, _LARGEST * (count / most) ** 0.5)
        y = LINE * (types.index(kind) + 0.5)
        bubbles.append(Bubble(x((ago + 0.5) * wide), y, round(radius, 1), label))
    ticks = [
        (x(place * wide), f"{end - timedelta(weeks=place * wide):%Y-%m-%d}")
        for place in sorted({0, bins // 2, bins})
        if bins > 1 or place != bins // 2
    ]
    behind = (end - known_until) / timedelta(weeks=1)
    return Timeline(
        events=events,
        total=sum(counts.values()),
        late=late,
        kinds=[EVENT_TYPES[kind].replace("_", " ") for kind in types],
        bubbles=bubbles,
        ticks=ticks,
        cutoff=x(behind) if behind > 0.01 and behind < bins * wide else None,
        height=LINE * len(types) + 28,
    )


def _span(start: datetime, weeks: int) -> str:
    return f"{'week' if weeks == 1 else f'{weeks} weeks'} from {start:%Y-%m-%d}"
