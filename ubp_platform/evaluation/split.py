"""How an evaluation divides the log: input for profiles, then two windows to predict."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from ubp_platform.errors import UBPError
from ubp_platform.times import WINDOW_DAYS
from ubp_platform.warehouse import Warehouse, targets


@dataclass(frozen=True)
class Split:
    """The split of RecSys Challenge 2025 (organisers' repository): input, then two windows.

    Profiles are computed from the events before :attr:`cutoff`. Heads are fitted on the labels of
    the first window and scored on those of the second.

    Parameters
    ----------
    end : datetime
        Time of the last purchase, which belongs to the validation window.

    Examples
    --------
    >>> split = Split(datetime(2022, 12, 8, 21, 30, tzinfo=UTC))
    >>> f"{split.cutoff:%m-%d %H:%M}", f"{split.validation_start:%m-%d %H:%M}"
    ('11-11 00:00', '11-25 00:00')
    """

    end: datetime

    @property
    def cutoff(self) -> datetime:
        """End of the input and start of the train window, a midnight (UTC)."""
        day = self.end.astimezone(UTC) - timedelta(days=2 * WINDOW_DAYS - 1)
        return day.replace(hour=0, minute=0, second=0, microsecond=0)

    @property
    def validation_start(self) -> datetime:
        """End of the train window and start of the validation window."""
        return self.cutoff + timedelta(days=WINDOW_DAYS)

    @property
    def train_window(self) -> tuple[datetime, datetime]:
        """Start (inclusive) and end (exclusive)."""
        return self.cutoff, self.validation_start

    @property
    def validation_window(self) -> tuple[datetime, datetime]:
        """Start (inclusive) and end (exclusive)."""
        return self.validation_start, self.end + timedelta(microseconds=1)


def split_of(warehouse: Warehouse) -> Split:
    """Divide the log of a warehouse.

    Raises
    ------
    UBPError
        If it has no purchase, or no event before the windows.
    """
    last = targets.last_purchase(warehouse)
    if last is None:
        raise UBPError(
            "the warehouse holds no purchase: an evaluation predicts purchases, `ubp ingest` some"
        )
    split = Split(last)
    first, _ = warehouse.event_times()
    if first >= split.cutoff:
        raise UBPError(
            f"the log is too short to evaluate: it begins {first:%Y-%m-%d}, and the two windows to "
            f"predict begin {split.cutoff:%Y-%m-%d}, {2 * WINDOW_DAYS - 1} days before the last "
            "purchase"
        )
    return split
