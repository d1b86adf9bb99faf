"""Shared by the tests of the complete job."""

from datetime import UTC, datetime


def day(text: str) -> datetime:
    """Return the midnight (UTC) at which a day begins."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


# Cutoffs within the log of a random shop.
FIT, LATER, LAST = day("2022-07-01"), day("2022-07-10"), day("2022-07-20")
