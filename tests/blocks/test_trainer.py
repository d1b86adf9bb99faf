"""The training loop: early stopping, Ctrl-C, checkpoints and progress bars."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ubp_platform.blocks.checkpoint import Checkpoint
from ubp_platform.blocks.fit_report import FitReport
from ubp_platform.blocks.state_arrays import Arrays
from ubp_platform.blocks.trainer import Trainer
from ubp_platform.errors import UBPError
from ubp_platform.progress import Advance, logged


class Script:
    """A learner with given losses; its only weight is the number of the last epoch."""

    unit, epoch_size = "steps", 10.0

    def __init__(self, losses: list[float], interrupt_in: int | None = None) -> None:
        self.losses, self.interrupt_in = losses, interrupt_in
        self.weight = 0

    def epoch(self, advance: Advance) -> dict[str, float]:
        self.weight += 1
        advance(self.epoch_size)
        if self.weight == self.interrupt_in:
            raise KeyboardInterrupt
        return {"train": 1.0, "validation": self.losses[self.weight - 1]}

    def weights(self) -> Arrays:
        return {"weight": np.array([self.weight])}

    def load_weights(self, weights: Arrays) -> None:
        self.weight = weights["weight"].item()

    def state(self) -> tuple[Arrays, dict[str, Any]]:
        return {"weight": np.array([self.weight])}, {}

    def restore(self, arrays: Arrays, rest: dict[str, Any]) -> None:
        self.weight = arrays["weight"].item()


def fit(
    learner: Script,
    max_epochs: int,
    patience: int | None,
    checkpoint: Checkpoint | None = None,
    progress: Callable = logged,
    **options: Any,
) -> FitReport:
    report = FitReport(cutoff=datetime(2022, 7, 1, tzinfo=UTC))
    trainer = Trainer(
        "script", learner, report, max_epochs=max_epochs, patience=patience, **options
    )
    trainer.fit(progress, checkpoint or Checkpoint())
    return report


LOSSES = st.lists(st.floats(0, 10), min_size=8, max_size=8)


@given(losses=LOSSES, max_epochs=st.integers(1, 8), patience=st.integers(1, 9))
def test_the_best_epoch_is_kept_and_patience_ends_it(
    losses: list[float], max_epochs: int, patience: int
) -> None:
    learner = Script(losses)
    report = fit(learner, max_epochs, patience)
    run = report.curves["validation"]
    assert run == losses[: len(run)]
    assert learner.weight == int(np.argmin(run)) + 1
    assert report.loss == min(run)
    waited = len(run) - learner.weight
    assert len(run) == max_epochs or waited == patience
    assert waited <= patience
    assert (report.complete, report.note) == (True, "")


@given(
    losses=LOSSES,
    patience=st.none() | st.integers(1, 8),
    cut=st.integers(1, 8),
)
def test_a_resumed_fit_equals_an_uninterrupted_one(
    tmp_path_factory: pytest.TempPathFactory, losses: list[float], patience: int | None, cut: int
) -> None:
    whole = Script(losses)
    wanted = fit(whole, 8, patience)
    epochs = len(wanted.curves["train"])
    path = tmp_path_factory.mktemp("trainer") / "fit.safetensors"
    checkpoint = Checkpoint(path)
    try:
        cut_off = fit(Script(losses, interrupt_in=cut), 8, patience, checkpoint)
    except KeyboardInterrupt:
        assert cut == 1
        assert not path.exists()
    else:
        assert cut_off.complete == (cut > epochs)
        if not cut_off.complete:
            best = f"; the best epoch ({np.argmin(losses[: cut - 1]) + 1}) is kept"
            note = f"interrupted after epoch {cut - 1} of 8"
            assert cut_off.note == note + best * (patience is not None)
    resumed = Script(losses)
    found = fit(resumed, 8, patience, checkpoint)
    assert (found.curves, found.loss, found.complete) == (wanted.curves, wanted.loss, True)
    assert resumed.weight == whole.weight
    assert found.note == (f"resumed after epoch {min(cut - 1, epochs)}" if cut > 1 else "")


def test_without_patience_the_last_epoch_counts() -> None:
    learner = Script([3, 1, 2])
    report = fit(learner, 3, None)
    assert (learner.weight, report.loss) == (3, 1.0)


@pytest.mark.parametrize("loss", [float("nan"), float("inf")])
def test_a_loss_that_is_not_finite_ends_the_fit(loss: float, tmp_path: Path) -> None:
    checkpoint = Checkpoint(tmp_path / "fit.safetensors")
    message = "script: the loss is no longer a number in epoch 3; leave .* --skip script"
    with pytest.raises(UBPError, match=message):
        fit(Script([2, 1, loss]), 5, 3, checkpoint)
    # The epoch before it is kept.
    with pytest.raises(UBPError, match=message):
        fit(Script([2, 1, loss]), 5, 3, checkpoint)


@pytest.mark.parametrize(
    ("one_bar", "bars"),
    [
        (True, [("script: fit", 30.0, "steps")]),
        (False, [(f"script: epoch {n}/3", 10.0, "steps") for n in (1, 2, 3)]),
    ],
)
def test_a_bar_spans_an_epoch_or_the_fit(one_bar: bool, bars: list) -> None:
    opened, advanced = [], []

    @contextmanager
    def progress(description: str, total: float | None, unit: str) -> Iterator[Advance]:
        opened.append((description, total, unit))
        yield advanced.append

    fit(Script([3, 2, 1]), 3, 5, progress=progress, one_bar=one_bar)
    assert opened == bars
    assert sum(advanced) == 30


def test_checkpoints_of_other_releases_and_broken_ones_are_refused(tmp_path: Path) -> None:
    from safetensors.numpy import save_file

    path = tmp_path / "fit.safetensors"
    save_file({"network.x": np.zeros(1)}, path, metadata={"rest": "{}", "seconds": "1"})
    with pytest.raises(UBPError, match=r"is of another release: train without --resume"):
        Checkpoint(path).load()
    path.write_bytes(path.read_bytes()[:40])
    with pytest.raises(UBPError, match=r"fit.safetensors is damaged: train without --resume"):
        Checkpoint(path).load()
