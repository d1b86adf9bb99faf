"""Interrupted fits, and fits resumed from their checkpoints."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.blocks.contract import BlockContract
from ubp_platform.blocks.base import Block
from ubp_platform.blocks.checkpoint import Checkpoint
from ubp_platform.progress import ProgressFactory
from ubp_platform.warehouse.history import History


def ctrl_c(after: int) -> ProgressFactory:
    """Make a progress factory that raises KeyboardInterrupt after this number of advances."""
    advanced = []

    @contextmanager
    def progress(description: str, total: float | None, unit: str) -> Iterator[Callable]:
        def advance(amount: float) -> None:
            advanced.append(amount)
            if len(advanced) > after:
                raise KeyboardInterrupt

        yield advance

    return progress


def assert_resumed_equals_uninterrupted(
    new: Callable[[], Block], history: History, path: Path, after: int
) -> None:
    """Interrupt a fit and resume it: it ends with the weights of an uninterrupted one."""
    uninterrupted = new().fit(history)
    steps = len(next(iter(uninterrupted.report_.curves.values())))
    assert after < steps - 1
    checkpoint = Checkpoint(path)
    interrupted = new().fit(history, ctrl_c(after), checkpoint)
    assert not interrupted.report_.complete
    assert "interrupted after" in interrupted.report_.note
    advanced = []

    @contextmanager
    def recording(description: str, total: float | None, unit: str) -> Iterator[Callable]:
        yield advanced.append

    resumed = new().fit(history, recording, checkpoint)
    assert 0 < len(advanced) < steps
    BlockContract.assert_same_fit(resumed, uninterrupted)
    assert resumed.report_.complete
    assert resumed.report_.note.startswith("resumed after")
