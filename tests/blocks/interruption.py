"""Interrupted fits, and fits resumed from their checkpoints."""

from collections.abc import Callable
from pathlib import Path

from tests.blocks.bars import Bars
from tests.blocks.contract import BlockContract
from ubp_platform.blocks.base import Block
from ubp_platform.blocks.checkpoint import Checkpoint
from ubp_platform.warehouse.history import History


def assert_resumed_equals_uninterrupted(
    new: Callable[[], Block], history: History, path: Path, after: int
) -> None:
    """Interrupt a fit and resume it: it ends with the weights of an uninterrupted one."""
    uninterrupted = new().fit(history)
    steps = len(next(iter(uninterrupted.report_.curves.values())))
    assert after < steps - 1
    checkpoint = Checkpoint(path)
    interrupted = new().fit(history, Bars(at_advance=after + 1), checkpoint)
    assert not interrupted.report_.complete
    assert "interrupted after" in interrupted.report_.note
    bars = Bars()
    resumed = new().fit(history, bars, checkpoint)
    assert 0 < len(bars.advances) < steps
    BlockContract.assert_same_fit(resumed, uninterrupted)
    assert resumed.report_.complete
    assert resumed.report_.note.startswith("resumed after")
