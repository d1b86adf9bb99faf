"""Fitting one network by several processes of a Ray cluster, with Ray Train."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from ray import train
from ray.train.torch import TorchTrainer

from ubp_platform.blocks.base import Block
from ubp_platform.blocks.checkpoint import Checkpoint
from ubp_platform.blocks.fit_report import FitReport
from ubp_platform.blocks.processes import together
from ubp_platform.blocks.state_arrays import Arrays
from ubp_platform.errors import UBPError
from ubp_platform.warehouse import Warehouse


@dataclass(frozen=True)
class _Fit:
    """What each worker does."""

    block: Block
    warehouse: Path
    cutoff: datetime
    clients: np.ndarray | None
    checkpoint: Path | None

    def __call__(self) -> tuple[Arrays, FitReport] | None:
        """Fit, and return state and report from the first worker."""
        # Workers of one node share its memory.
        share = 1 / train.get_context().get_local_world_size()
        with Warehouse(self.warehouse, memory_share=share) as warehouse, together() as processes:
            first = processes.rank == 0
            checkpoint = Checkpoint(self.checkpoint, writes=first)
            history = warehouse.history(self.cutoff, self.clients)
            self.block.fit(history, checkpoint=checkpoint)
        return (self.block.state(), self.block.report_) if first else None


def fit_by_workers(
    block: Block,
    warehouse: Path,
    cutoff: datetime,
    *,
    workers: int,
    gpu: bool = False,
    clients: np.ndarray | None = None,
    checkpoint: Path | None = None,
) -> Block:
    """Fit a network by several workers of a Ray cluster, and return it.

    Each worker reads the history and learns from its share of every batch. Their gradients are
    added, so the fit is that of one process, up to rounding and to what is drawn within a batch;
    see :mod:`~ubp_platform.blocks.processes`.

    Parameters
    ----------
    block : Block
        Its state and report are replaced by those of the fit.
    warehouse : Path
        A DuckDB file that all nodes see and nobody writes, such as that of a :func:`frozen
        <ubp_platform.warehouse.frozen.frozen>` home.
    cutoff : datetime
    workers : int
    gpu : bool
        Whether each worker takes a GPU; otherwise it takes a CPU.
    clients : ndarray of int64, optional
        The clients to learn from; the relevant clients by default.
    checkpoint : Path, optional
        A file that all nodes see. The first worker saves the state in it after each epoch, and a
        fit resumes from it.

    Raises
    ------
    UBPError
        If the block is not a network, or what a fit raises.
    """
    if not block.shared_fit:
        raise UBPError(f"{block.name} is fitted by one process: several would do the same")
    kept = checkpoint and checkpoint.resolve()
    # Ray's annotations are of an earlier interface.
    work: Any = _Fit(block, warehouse.resolve(), cutoff, clients, kept)
    # Ray Train leaves notes on its runs.
    with TemporaryDirectory() as notes, _own_interrupts():
        trainer = TorchTrainer(
            work,
            scaling_config=train.ScalingConfig(num_workers=workers, use_gpu=gpu),
            run_config=train.RunConfig(name=block.name, storage_path=notes),
        )
        try:
            done: Any = trainer.fit()
        except train.WorkerGroupError as error:
            for failure in error.worker_failures.values():
                if isinstance(cause := getattr(failure, "cause", failure), UBPError):
                    raise cause from None
            raise
    arrays, block.report_ = done.return_value
    # The arrays lie in Ray's memory.
    block.restore({name: array.copy() for name, array in arrays.items()})
    return block


@contextmanager
def _own_interrupts() -> Iterator[None]:
    """Take Ctrl-C back from Ray Train, which keeps it."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.getsignal(signal.SIGINT)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
