"""Progress bars that record their calls."""

from collections.abc import Iterator
from contextlib import contextmanager

from ubp_platform.progress import Advance


class Bars:
    """Records progress bars; optionally raises KeyboardInterrupt after some batches."""

    def __init__(self, batches: int | None = None) -> None:
        self.totals: dict[str, float | None] = {}
        self.advanced = 0.0
        self._left = batches

    @contextmanager
    def __call__(self, description: str, total: float | None, unit: str) -> Iterator[Advance]:
        self.totals[description] = total
        yield self._advance

    def _advance(self, amount: float) -> None:
        self.advanced += amount
        if self._left is not None:
            self._left -= 1
            if not self._left:
                raise KeyboardInterrupt
