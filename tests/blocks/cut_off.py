"""Fits that are cut off, and go on."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.blocks.contract import BlockContract
from ubp_platform.blocks.base import Block
from ubp_platform.blocks.checkpoint import Checkpoint
from ubp_platform.progress import ProgressFactory
from ubp_platform.warehouse.history import History


def ctrl_c(after: int) -> ProgressFactory:
    """Give a progress factory that presses Ctrl-C when it is advanced once more than that."""
    advanced = []

    @contextmanager
    def progress(description: str, total: float | None, unit: str) -> Iterator[Callable]:
        def advance(amount: float) -> None:
            advanced.append(amount)
            if len(advanced) > after:
                raise KeyboardInterrupt

        yield advance

    return progress


def assert_resumed_is_whole(
    new: Callable[[], Block], history: History, path: Path, after: int
) -> None:
    """Cut a fit off and go on from its checkpoint: it ends with the weights of a whole one."""
    whole = new().fit(history)
    steps = len(next(iter(whole.report_.curves.values())))
    assert after < steps - 1
    checkpoint = Checkpoint(path)
    cut_off = new().fit(history, ctrl_c(after), checkpoint)
    assert not cut_off.report_.complete
    assert "interrupted after" in cut_off.report_.note
    advanced = []

    @contextmanager
    def noting(description: str, total: float | None, unit: str) -> Iterator[Callable]:
        yield advanced.append

    resumed = new().fit(history, noting, checkpoint)
    assert 0 < len(advanced) < steps
    BlockContract.assert_same_fit(resumed, whole)
    assert resumed.report_.complete
    assert resumed.report_.note.startswith("resumed after")
