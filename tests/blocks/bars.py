"""Progress bars that record their calls, and can interrupt the work."""

from collections.abc import Iterator
from contextlib import contextmanager

from ubp_platform.progress import Advance


class Bars:
    """A progress factory that records bars; optionally presses Ctrl-C.

    Parameters
    ----------
    at_advance, in_bar : int, optional
        At which advance, or in which bar, counted from 1, KeyboardInterrupt is raised.
    """

    def __init__(self, at_advance: int | None = None, in_bar: int | None = None) -> None:
        self.totals: dict[str, float | None] = {}
        self.advances: list[float] = []
        self._at_advance, self._in_bar = at_advance, in_bar

    @property
    def advanced(self) -> float:
        return sum(self.advances)

    @contextmanager
    def __call__(self, description: str, total: float | None, unit: str) -> Iterator[Advance]:
        self.totals[description] = total
        yield self._advance

    def _advance(self, amount: float) -> None:
        self.advances.append(amount)
        if len(self.advances) == self._at_advance or len(self.totals) == self._in_bar:
            raise KeyboardInterrupt
