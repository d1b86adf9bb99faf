"""Points in time as text, and the length of the windows that profiles look into."""

from datetime import UTC, datetime

from ubp_platform.errors import UBPError

#: Profiles are fitted to predict, and scored on, a window of this length: that of RecSys Challenge
#: 2025.
WINDOW_DAYS = 14


def parse_time(text: str) -> datetime:
    """Parse a point in time; without a zone it is UTC.

    Parameters
    ----------
    text : str
        ISO 8601: ``2017-12-18``, ``2017-12-18 06:00``, ``2017-12-18T06:00:00+01:00``.

    Returns
    -------
    datetime
        Aware, in UTC.

    Raises
    ------
    UBPError
        If the text is not a time.

    Examples
    --------
    >>> parse_time("2017-12-18").isoformat()
    '2017-12-18T00:00:00+00:00'
    """
    try:
        time = datetime.fromisoformat(text.strip())
    except ValueError:
        raise UBPError(
            f"not a time: {text!r}; write it like 2017-12-18 or '2017-12-18 06:00:00' (UTC)"
        ) from None
    return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)


def time_stem(time: datetime) -> str:
    """Return a file name for a point in time; without the ``Z``, names sort like times.

    Examples
    --------
    >>> time_stem(parse_time("2017-12-18 06:00"))
    '20171218T060000Z'
    """
    fraction = f".{time.microsecond:06d}" if time.microsecond else ""
    return f"{time.astimezone(UTC):%Y%m%dT%H%M%S}{fraction}Z"


def shown(time: datetime) -> str:
    """Return a time for a message, in UTC, as precise as it is.

    Examples
    --------
    >>> shown(parse_time("2017-12-18")), shown(parse_time("2017-12-18 06:00:01"))
    ('2017-12-18 00:00', '2017-12-18 06:00:01')
    """
    utc = time.astimezone(UTC).replace(tzinfo=None)
    precision = "minutes" if not (utc.second or utc.microsecond) else "auto"
    return utc.isoformat(" ", precision)


def literal(time: datetime) -> str:
    """Return an aware time as DuckDB's SQL.

    Examples
    --------
    >>> literal(parse_time("2017-12-18 06:00"))
    "TIMESTAMP '2017-12-18 06:00:00.000000'"
    """
    return f"TIMESTAMP '{time.astimezone(UTC):%Y-%m-%d %H:%M:%S.%f}'"


def naive_utc(time: datetime) -> datetime:
    """Return an aware time as DuckDB stores it: in UTC, without a zone."""
    return time.astimezone(UTC).replace(tzinfo=None)


def aware_utc(time: datetime | None) -> datetime | None:
    """Return a time that DuckDB stored as an aware one."""
    return None if time is None else time.replace(tzinfo=UTC)
