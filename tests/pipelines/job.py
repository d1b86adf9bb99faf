"""What the tests of the whole job share."""

from datetime import UTC, datetime


def day(text: str) -> datetime:
    """Give the midnight (UTC) that a day begins with."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


# Cutoffs within the log of a random shop.
FIT, LATER, LAST = day("2022-07-01"), day("2022-07-10"), day("2022-07-20")
