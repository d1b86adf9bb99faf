"""The one loop that fits in epochs: early stopping, checkpoints, resuming, Ctrl-C, progress."""

import math
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
    learner : Learner
        Holds the weights that are kept in the end.
    report : FitReport
        Gets ``curves`` and ``loss``, and ``complete`` and ``note`` where the fit was interrupted
        or resumed.
    max_epochs : int
    patience : int, optional
        Epochs without a better validation loss after which training ends; the weights of the best
        epoch are kept. Without it all epochs are run and the last one's weights are kept, as suits
        a learner whose training loss can only fall.
    one_bar : bool
        Whether one progress bar spans all epochs, as suits short ones; by default each has its own.
    """

    def __init__(
        self,
        name: str,
        learner: Learner,
        report: FitReport,
        *,
        max_epochs: int,
        patience: int | None = None,
        one_bar: bool = False,
    ) -> None:
        self.name, self.learner, self.report = name, learner, report
        self.max_epochs, self.patience, self.one_bar = max_epochs, patience, one_bar
        self._watched = "train" if patience is None else "validation"
        self._best = 0
        self._weights: Arrays = {}

    def fit(self, progress: ProgressFactory, checkpoint: Checkpoint) -> None:
        """Run the epochs that are left.

        Parameters
        ----------
        progress : ProgressFactory
        checkpoint : Checkpoint

        Raises
        ------
        UBPError
            If a loss is no longer a number.
        KeyboardInterrupt
            If Ctrl-C came before the first epoch was finished.
        """
        self._resume(checkpoint)
        try:
            if self.one_bar:
                self._fit_under_one_bar(progress, checkpoint)
            else:
                self._fit_under_a_bar_per_epoch(progress, checkpoint)
        except KeyboardInterrupt:
            if not self._losses:
                raise
            self._note_interruption()
        if self.patience is not None:
            self.learner.load_weights(self._weights)
        self.report.loss = self._losses[self._best - 1]

    @property
    def _losses(self) -> list[float]:
        """What epochs are compared by, one value per finished epoch."""
        return self.report.curves.get(self._watched, [])

    def _fit_under_one_bar(self, progress: ProgressFactory, checkpoint: Checkpoint) -> None:
        left = (self.max_epochs - len(self._losses)) * self.learner.epoch_size
        with progress(f"{self.name}: fit", left, self.learner.unit) as advance:
            while not self._over():
                self._epoch(advance)
                self._save(checkpoint)

    def _fit_under_a_bar_per_epoch(self, progress: ProgressFactory, checkpoint: Checkpoint) -> None:
        while not self._over():
            title = f"{self.name}: epoch {len(self._losses) + 1}/{self.max_epochs}"
            with progress(title, self.learner.epoch_size, self.learner.unit) as advance:
                self._epoch(advance)
            self._save(checkpoint)

    def _over(self) -> bool:
        done = len(self._losses)
        impatient = self.patience is not None and done - self._best >= self.patience
        return done >= self.max_epochs or impatient

    def _epoch(self, advance: Advance) -> None:
        losses = self.learner.epoch(advance)
        epoch, loss = len(self._losses) + 1, losses[self._watched]
        if not math.isfinite(loss):
            raise UBPError(
                f"{self.name}: the loss is no longer a number in epoch {epoch}; "
                f"leave the block out with --skip {self.name}"
            )
        weights, best = self._weights, self._best
        if self.patience is None:
            best = epoch
        elif not best or loss < self._losses[best - 1]:
            weights, best = self.learner.weights(), epoch
        known = self.report.curves
        curves = {name: [*known.get(name, []), value] for name, value in losses.items()}
        # All at once: an interrupted epoch leaves no half of itself.
        self._weights, self._best, self.report.curves = weights, best, curves

    def _save(self, checkpoint: Checkpoint) -> None:
        if not checkpoint:
            return
        arrays, rest = self.learner.state()
        best = {f"best.{name}": array for name, array in self._weights.items()}
        state = {f"state.{name}": array for name, array in arrays.items()}
        described = {"curves": self.report.curves, "best": self._best, "state": rest}
        checkpoint.save({**best, **state}, described)

    def _resume(self, checkpoint: Checkpoint) -> None:
        if (found := checkpoint.load()) is None:
            return
        arrays, described = found
        kept: dict[str, Arrays] = {"best": {}, "state": {}}
        for key, array in arrays.items():
            kind, _, name = key.partition(".")
            kept[kind][name] = array
        self.learner.restore(kept["state"], described["state"])
        self._weights, self._best = kept["best"], described["best"]
        self.report.curves = described["curves"]
        self.report.note = f"resumed after epoch {len(self._losses)}"

    def _note_interruption(self) -> None:
        self.report.complete = False
        self.report.note = f"interrupted after epoch {len(self._losses)} of {self.max_epochs}"
        if self.patience is not None:
            self.report.note += f"; the best epoch ({self._best}) is kept"
