"""The training loop: early stopping, checkpoints, resuming, Ctrl-C and progress bars."""

import math
from typing import Any, Protocol

from ubp_platform.blocks.checkpoint import Checkpoint
from ubp_platform.blocks.fit_report import FitReport
from ubp_platform.blocks.state_arrays import Arrays, strip_prefix, with_prefix
from ubp_platform.errors import UBPError
from ubp_platform.progress import Advance, ProgressFactory


class Learner(Protocol):
    """A model that is fitted in epochs, as the :class:`Trainer` sees it.

    Attributes
    ----------
    epoch_size : float
        The size of an epoch in ``unit``, for the progress bar.
    unit : str
        Such as ``tokens``.
    """

    epoch_size: float
    unit: str

    def epoch(self, advance: Advance) -> dict[str, float]:
        """Train for one epoch and return its losses by the names of their curves."""
        ...

    def weights(self) -> Arrays:
        """Return a copy of the weights after an epoch."""
        ...

    def load_weights(self, weights: Arrays) -> None:
        """Load what :meth:`weights` returned."""
        ...

    def state(self) -> tuple[Arrays, dict[str, Any]]:
        """Return everything the next epoch depends on: arrays, and JSON-ready metadata."""
        ...

    def restore(self, arrays: Arrays, metadata: dict[str, Any]) -> None:
        """Restore what :meth:`state` returned."""
        ...


class Trainer:
    """Runs the epochs of a learner.

    The complete state is saved in the checkpoint after each epoch, so a resumed fit ends with
    exactly the weights of an uninterrupted one. Ctrl-C ends the fit and keeps the best finished
    epoch.

    Parameters
    ----------
    name : str
        The block's name, for progress bars and errors.
    learner : Learner
        Holds the final weights after :meth:`fit`.
    report : FitReport
        Receives ``curves`` and ``loss``; ``complete`` and ``note`` where the fit was interrupted
        or resumed.
    max_epochs : int
    patience : int, optional
        Epochs without a better validation loss after which training ends; the weights of the best
        epoch are kept. Without it all epochs run and the last weights are kept, which suits a
        learner whose training loss can only fall.
    one_bar : bool
        Whether one progress bar spans all (short) epochs; by default each has its own.
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
        """Run the remaining epochs.

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
                self._fit_with_one_bar(progress, checkpoint)
            else:
                self._fit_with_bar_per_epoch(progress, checkpoint)
        except KeyboardInterrupt:
            if not self._losses:
                raise
            self._note_interruption()
        if self.patience is not None:
            self.learner.load_weights(self._weights)
        self.report.loss = self._losses[self._best - 1]

    @property
    def _losses(self) -> list[float]:
        """The losses that epochs are compared by, one per finished epoch."""
        return self.report.curves.get(self._watched, [])

    def _fit_with_one_bar(self, progress: ProgressFactory, checkpoint: Checkpoint) -> None:
        left = (self.max_epochs - len(self._losses)) * self.learner.epoch_size
        with progress(f"{self.name}: fit", left, self.learner.unit) as advance:
            while not self._finished():
                self._epoch(advance)
                self._save(checkpoint)

    def _fit_with_bar_per_epoch(self, progress: ProgressFactory, checkpoint: Checkpoint) -> None:
        while not self._finished():
            title = f"{self.name}: epoch {len(self._losses) + 1}/{self.max_epochs}"
            with progress(title, self.learner.epoch_size, self.learner.unit) as advance:
                self._epoch(advance)
            self._save(checkpoint)

    def _finished(self) -> bool:
        epochs = len(self._losses)
        out_of_patience = self.patience is not None and epochs - self._best >= self.patience
        return epochs >= self.max_epochs or out_of_patience

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
        earlier = self.report.curves
        curves = {name: [*earlier.get(name, []), value] for name, value in losses.items()}
        # All in one statement: Ctrl-C cannot leave half an epoch behind.
        self._weights, self._best, self.report.curves = weights, best, curves

    def _save(self, checkpoint: Checkpoint) -> None:
        if not checkpoint:
            return
        arrays, metadata = self.learner.state()
        checkpoint.save(
            {**with_prefix("best", self._weights), **with_prefix("state", arrays)},
            {"curves": self.report.curves, "best": self._best, "state": metadata},
        )

    def _resume(self, checkpoint: Checkpoint) -> None:
        if (saved := checkpoint.load()) is None:
            return
        arrays, metadata = saved
        self.learner.restore(strip_prefix(arrays, "state"), metadata["state"])
        self._weights, self._best = strip_prefix(arrays, "best"), metadata["best"]
        self.report.curves = metadata["curves"]
        self.report.note = f"resumed after epoch {len(self._losses)}"

    def _note_interruption(self) -> None:
        self.report.complete = False
        self.report.note = f"interrupted after epoch {len(self._losses)} of {self.max_epochs}"
        if self.patience is not None:
            self.report.note += f"; the best epoch ({self._best}) is kept"
