"""Days without an event of a type that comes every day: a file is missing, or was cut off."""

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise

import duckdb
import numpy as np

from ubp_platform.events.schema import EVENT_TYPES
from ubp_platform.times import literal

#: Days before the end in which gaps are looked for.
LOOKED_AT = 56
# With fewer days that have events, or fewer events that should have come, a gap may be chance:
# none of ten come once in 20,000 times.
_DAYS, _EXPECTED = 14, 10
_DAY = timedelta(days=1)


@dataclass(frozen=True)
class Gap:
    """The longest gap of an event type, if it is much longer than the others.

    Parameters
    ----------
    table : str
    since, until : date
        The first day without an event, and the day after the last one.
    usual : int
        Days of the next longest gap.
    open : bool
        Whether no event has come since.
    """

    table: str
    since: date
    until: date
    usual: int
    open: bool

    @property
    def days(self) -> int:
        """How long it is."""
        return (self.until - self.since) // _DAY

    @property
    def start(self) -> tuple[str, date]:
        """What stays the same while it is open: the table and the first day."""
        return self.table, self.since

    @property
    def end(self) -> datetime:
        """When it was over, or how far the log goes: aware."""
        return datetime(self.until.year, self.until.month, self.until.day, tzinfo=UTC)

    @property
    def sentence(self) -> str:
        """What is missing, in a few words."""
        days = f"{self.days} days" if self.days > 1 else "a day"
        when = f"since {self.since}" if self.open else f"from {self.since} to {self.until - _DAY}"
        if self.days == 1 and not self.open:
            when = f"on {self.since}"
        usual = f"never more than {self.usual} before" if self.usual else "never before"
        return f"{self.table} has no event {when}: {days}, {usual}"


def gaps(connection: duckdb.DuckDBPyConnection, until: datetime, times: float = 2) -> list[Gap]:
    """Find gaps in the last weeks before an instant, at most one an event type.

    Parameters
    ----------
    connection : DuckDBPyConnection
    until : datetime
        Aware; the day that it is in counts only if it is over.
    times : float
        How many times longer than the next longest a gap is, at least.
    """
    end = until.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    since = literal(end - LOOKED_AT * _DAY)
    daily = " UNION ALL ".join(
        f"""SELECT '{name}' AS name, timestamp::DATE AS day, count(*) AS events FROM {name}
            WHERE timestamp >= {since} AND timestamp < {literal(end)} GROUP BY day"""
        for name in EVENT_TYPES
    )
    rows = connection.execute(f"SELECT * FROM ({daily}) ORDER BY name, day").fetchall()
    found = []
    for name in EVENT_TYPES:
        days = [day for table, day, _ in rows if table == name]
        counts = [count for table, _, count in rows if table == name]
        if len(days) >= _DAYS:
            found += _longest(name, [*days, end.date()], float(np.median(counts)), times)
    return found


def _longest(name: str, days: list[date], usual: float, times: float) -> list[Gap]:
    """Return the longest gap between days, as a list of one or none."""
    lengths = [(later - day) // _DAY - 1 for day, later in pairwise(days)]
    place = len(lengths) - 1 - int(np.argmax(lengths[::-1]))
    longest, before = lengths[place], max([*lengths[:place], *lengths[place + 1 :]])
    if not longest or longest <= times * before or longest * usual < _EXPECTED:
        return []
    is_open = place == len(lengths) - 1
    return [Gap(name, days[place] + _DAY, days[place + 1], before, is_open)]
