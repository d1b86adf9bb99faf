"""The one loop that fits in epochs: early stopping, checkpoints, resuming, Ctrl-C, progress."""

import math
from contextlib import nullcontext
from typing import Any, Protocol

import numpy as np

from ubp_platform.blocks.checkpoint import Checkpoint
from ubp_platform.blocks.fit_report import FitReport
from ubp_platform.errors import UBPError
from ubp_platform.progress import Advance, ProgressFactory

Arrays = dict[str, np.ndarray]


class Learner(Protocol):
    """A model that is fitted in epochs: what the :class:`Trainer` has to know of it.

    Attributes
    ----------
    epoch_size : float
        How much work an epoch is, in ``unit``; for the progress bar.
    unit : str
        Such as ``tokens``.
    """

    epoch_size: float
    unit: str

    def epoch(self, advance: Advance) -> dict[str, float]:
        """Train for one epoch; give its losses, by the names of their curves.

        Parameters
        ----------
        advance : callable
            Takes how much of ``epoch_size`` has been done since it was called last.
        """
        ...

    def weights(self) -> Arrays:
        """Copy the weights as they are after an epoch."""
        ...

    def load_weights(self, weights: Arrays) -> None:
        """Take back what :meth:`weights` gave."""
        ...

    def state(self) -> tuple[Arrays, dict[str, Any]]:
        """Give all that the next epoch depends on: arrays, and the rest JSON-ready."""
        ...

    def restore(self, arrays: Arrays, rest: dict[str, Any]) -> None:
        """Take back what :meth:`state` gave."""
        ...


class Trainer:
    """Runs the epochs of a learner.

    After each epoch the whole state goes into the checkpoint, so that a fit that was cut off and
    goes on ends with the very weights of one that was not. Ctrl-C ends the fit and keeps the best
    epoch of those that were finished.

    Parameters
    ----------
    name : str
        The block's, for the progress bar and for errors.
    max_epochs : int
    patience : int, optional
        Epochs without a better validation loss after which training ends; the weights of the best
        epoch are kept. Without it all epochs are run and the last one's weights are kept, as suits
        a learner whose training loss can only fall.
    one_bar : bool
        Whether one progress bar spans all epochs, as suits short ones; by default each has its own.
    """

    def __init__(
        self, name: str, max_epochs: int, patience: int | None = None, *, one_bar: bool = False
    ) -> None:
        self.name, self.max_epochs, self.patience = name, max_epochs, patience
        self._one_bar = one_bar
        self._watched = "train" if patience is None else "validation"
        self._best = 0
        self._weights: Arrays = {}

    def fit(
        self,
        learner: Learner,
        report: FitReport,
        progress: ProgressFactory,
        checkpoint: Checkpoint,
    ) -> None:
        """Run the epochs that are left.

        Parameters
        ----------
        learner : Learner
            Holds the weights that are kept in the end.
        report : FitReport
            Gets ``curves`` and ``loss``, and ``complete`` and ``note`` where the fit was
            interrupted or resumed.
        progress : ProgressFactory
        checkpoint : Checkpoint

        Raises
        ------
        UBPError
            If a loss is no longer a number.
        KeyboardInterrupt
            If Ctrl-C came before the first epoch was finished.
        """
        self._resume(learner, report, checkpoint)
        try:
            self._run(learner, report, progress, checkpoint)
        except KeyboardInterrupt:
            if not self._done(report):
                raise
            self._note_interruption(report)
        if self.patience is not None:
            learner.load_weights(self._weights)
        report.loss = report.curves[self._watched][self._best - 1]

    def _run(
        self,
        learner: Learner,
        report: FitReport,
        progress: ProgressFactory,
        checkpoint: Checkpoint,
    ) -> None:
        left, size, unit = self.max_epochs - self._done(report), learner.epoch_size, learner.unit
        whole = progress(f"{self.name}: fit", left * size, unit) if self._one_bar else nullcontext()
        with whole as advance_whole:
            while not self._over(report):
                if advance_whole is not None:
                    self._epoch(learner, report, advance_whole)
                else:
                    title = f"{self.name}: epoch {self._done(report) + 1}/{self.max_epochs}"
                    with progress(title, size, unit) as advance:
                        self._epoch(learner, report, advance)
                self._save(learner, report, checkpoint)

    def _done(self, report: FitReport) -> int:
        return len(report.curves.get(self._watched, []))

    def _over(self, report: FitReport) -> bool:
        done = self._done(report)
        impatient = self.patience is not None and done - self._best >= self.patience
        return done >= self.max_epochs or impatient

    def _epoch(self, learner: Learner, report: FitReport, advance: Advance) -> None:
        losses = learner.epoch(advance)
        epoch, loss = self._done(report) + 1, losses[self._watched]
        if not math.isfinite(loss):
            raise UBPError(
                f"{self.name}: the loss is no longer a number in epoch {epoch}; "
                f"leave the block out with --skip {self.name}"
            )
        weights, best = self._weights, self._best
        if self.patience is None:
            best = epoch
        elif not best or loss < report.curves[self._watched][best - 1]:
            weights, best = learner.weights(), epoch
        curves = {name: [*report.curves.get(name, []), value] for name, value in losses.items()}
        # All at once: an interrupted epoch leaves no half of itself.
        self._weights, self._best, report.curves = weights, best, curves

    def _save(self, learner: Learner, report: FitReport, checkpoint: Checkpoint) -> None:
        if not checkpoint:
            return
        arrays, rest = learner.state()
        best = {f"best.{name}": array for name, array in self._weights.items()}
        state = {f"state.{name}": array for name, array in arrays.items()}
        described = {"curves": report.curves, "best": self._best, "state": rest}
        checkpoint.save({**best, **state}, described)

    def _resume(self, learner: Learner, report: FitReport, checkpoint: Checkpoint) -> None:
        if (found := checkpoint.load()) is None:
            report.curves = {}
            return
        arrays, described = found
        kept: dict[str, Arrays] = {"best": {}, "state": {}}
        for key, array in arrays.items():
            kind, _, name = key.partition(".")
            kept[kind][name] = array
        learner.restore(kept["state"], described["state"])
        self._weights, self._best = kept["best"], described["best"]
        report.curves = described["curves"]
        report.note = f"resumed after epoch {self._done(report)}"

    def _note_interruption(self, report: FitReport) -> None:
        report.complete = False
        report.note = f"interrupted after epoch {self._done(report)} of {self.max_epochs}"
        if self.patience is not None:
            report.note += f"; the best epoch ({self._best}) is kept"
