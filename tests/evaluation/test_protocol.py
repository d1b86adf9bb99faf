"""Every representation on every task: which results are stored, and which are reused.

By the challenge's protocol; ``test_holdout.py`` has what the default one does otherwise.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.evaluation import binary, multilabel
from ubp_platform.errors import UBPError
from ubp_platform.evaluation import network
from ubp_platform.evaluation.class_lists import Classes
from ubp_platform.evaluation.metrics import Metrics
from ubp_platform.evaluation.network import NETWORKS, SEED, NetworkFit, NetworkSize, fit
from ubp_platform.evaluation.plan import EvaluationPlan
from ubp_platform.evaluation.protocol import run
from ubp_platform.evaluation.representations import (
    ColumnRange,
    Representation,
    as_float16,
    of_matrix,
    of_profile,
)
from ubp_platform.evaluation.results import TaskInfo
from ubp_platform.evaluation.scores import Scores
from ubp_platform.evaluation.tasks import Task

CLIENTS = 150
Fit = tuple[str, str, int]


@pytest.fixture(autouse=True)
def fits(monkeypatch: pytest.MonkeyPatch) -> list[Fit]:
    """Tiny networks, whose fits are recorded."""
    for name, size in {"small": NetworkSize(8, 12, 3), "paper": NetworkSize(12, 16, 3)}.items():
        monkeypatch.setitem(NETWORKS, name, size)
    noted: list[Fit] = []

    def noting(representation: Representation, task: Task, seed: int, **options) -> NetworkFit:
        noted.append((representation.name, task.name, seed))
        return fit(representation, task, seed=seed, **options)

    monkeypatch.setattr(network, "fit", noting)
    return noted


def vectors(seed: int = 0, width: int = 6) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(CLIENTS, width)).astype(np.float16)


def questions() -> list[Task]:
    rng = np.random.default_rng(5)
    asked = binary(*(rng.random((2, CLIENTS)) < 0.4))
    bought = rng.random((2, CLIENTS, 4)) < 0.2
    return [asked, multilabel(*bought, np.array([5, 3, 2, 1]))]


def representations() -> list[Representation]:
    return [of_matrix("a", "block", vectors(0)), of_matrix("b", "baseline", vectors(1, width=3))]


def challenge(*seeds: int) -> EvaluationPlan:
    return EvaluationPlan("challenge", ["network"], seeds or [SEED])


def fit_all(compared: list[Representation], tasks: list[Task], **options) -> Scores:
    """Run the challenge's protocol with the small network."""
    return run(compared, tasks, "small", challenge(), **options)


def bare(scores: Scores) -> list[dict]:
    return [result.model_dump(exclude={"seconds"}) for result in scores.results]


def test_every_combination_is_scored_as_it_is_alone(tmp_path: Path, fits: list[Fit]) -> None:
    compared, asked = representations(), questions()
    scores = run(compared, asked, "small", challenge(SEED, SEED + 1), tmp_path / "kept")
    expected = [(r, t, s) for r in "ab" for t in ("churn", "propensity_sku") for s in (1278, 1279)]
    assert fits == expected
    assert [(r.representation, r.task, r.seed) for r in scores.results] == expected
    assert scores.reused == 0
    assert (scores.network, scores.seeds) == ("small", [1278, 1279])
    assert [(r.name, r.kind, r.width) for r in scores.representations] == [
        ("a", "block", 6),
        ("b", "baseline", 3),
    ]
    alone = fit(compared[1], asked[1], "small", SEED + 1)
    (_, result) = scores.of("b", "propensity_sku")
    assert result.epochs == alone.epochs
    assert result.metrics == alone.best
    assert result.curves is None
    assert scores.of("a", "churn")[0].curves is not None


def test_tasks_are_described(tmp_path: Path) -> None:
    train = np.array([[1, 0, 0, 0]] * 30 + [[0, 0, 0, 0]] * 120)
    validation = np.array([[1, 1, 0, 0]] * 15 + [[0, 1, 0, 0]] * 135)
    asked = multilabel(train, validation, np.ones(4))
    scores = fit_all(representations()[:1], [asked, questions()[0]])
    first, second = scores.tasks
    # No client bought the last two, every client the second.
    assert first == TaskInfo(
        name="propensity_sku",
        clients=CLIENTS,
        classes=4,
        train=30 / 600,
        validation=165 / 600,
        unanswerable=3,
    )
    assert (second.classes, second.unanswerable) == (1, 0)


def test_what_is_kept_is_not_computed_again(tmp_path: Path, fits: list[Fit]) -> None:
    kept = tmp_path / "kept"
    first = fit_all(representations(), questions(), cache=kept)
    fits.clear()
    again = fit_all(representations(), questions(), cache=kept)
    assert not fits
    assert again.reused == len(again.results) == 4
    assert again.results == first.results
    more = run(representations(), questions(), "small", challenge(SEED, SEED + 1), cache=kept)
    assert [seed for _, _, seed in fits] == [SEED + 1] * 4
    assert more.reused == 4
    assert [result for result in more.results if result.seed == SEED] == first.results


def test_nothing_is_kept_where_no_place_is_named(fits: list[Fit]) -> None:
    first = fit_all(representations(), questions())
    again = fit_all(representations(), questions())
    assert len(fits) == 8
    assert bare(first) == bare(again)


def changed_vectors(representation: Representation, task: Task) -> tuple[Representation, Task]:
    other = vectors(0)
    # By a single bit.
    other.view(np.uint16)[CLIENTS - 1, 5] ^= 1
    return of_matrix("a", "block", other), task


def swapped_columns(representation: Representation, task: Task) -> tuple[Representation, Task]:
    return of_matrix("a", "block", vectors(0)[:, ::-1]), task


def changed_label(when: str):
    def change(representation: Representation, task: Task) -> tuple[Representation, Task]:
        labels = getattr(task, when).copy()
        labels[7] ^= 1
        return representation, replace(task, **{when: labels})

    return change


def other_rows(representation: Representation, task: Task) -> tuple[Representation, Task]:
    return representation, replace(task, rows=task.rows + 1)


def other_popularity(representation: Representation, task: Task) -> tuple[Representation, Task]:
    return representation, replace(task, classes=Classes(np.arange(4), np.array([5.0, 3, 2, 2])))


CHANGES = {
    "vectors": changed_vectors,
    "order of columns": swapped_columns,
    "train labels": changed_label("train"),
    "validation labels": changed_label("validation"),
    "rows": other_rows,
    "popularity": other_popularity,
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_results_of_anything_else_are_not_taken(tmp_path: Path, fits: list[Fit], change) -> None:
    kept, (representation, _), (_, asked) = tmp_path / "kept", representations(), questions()
    # The task is without the last client.
    task = replace(
        asked, rows=asked.rows[:-1], train=asked.train[:-1], validation=asked.validation[:-1]
    )
    fit_all([representation], [task], cache=kept)
    other, other_task = change(representation, task)
    fits.clear()
    assert fit_all([other], [other_task], cache=kept).reused == 0
    assert len(fits) == 1
    assert fit_all([representation], [task], cache=kept).reused == 1


def test_results_of_another_network_or_seed_are_not_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept, (one, _), (task, _) = tmp_path / "kept", representations(), questions()
    first = fit_all([one], [task], cache=kept)
    assert run([one], [task], "paper", challenge(), cache=kept).reused == 0
    assert run([one], [task], "small", challenge(SEED + 5), cache=kept).reused == 0
    # The size and epochs of a network matter, not its name.
    monkeypatch.setitem(NETWORKS, "small", NetworkSize(8, 13, 3))
    assert fit_all([one], [task], cache=kept).reused == 0
    monkeypatch.setitem(NETWORKS, "small", NetworkSize(8, 12, 4))
    assert fit_all([one], [task], cache=kept).reused == 0
    monkeypatch.setitem(NETWORKS, "paper", NetworkSize(8, 12, 3))
    same = run([one], [task], "paper", challenge(), cache=kept)
    assert same.reused == 1
    assert same.results == first.results


def test_equal_vectors_are_known_by_any_name(tmp_path: Path, fits: list[Fit]) -> None:
    kept, matrix = tmp_path / "kept", vectors()
    first = fit_all([of_matrix("a", "block", matrix)], questions(), cache=kept)
    fits.clear()
    wide = np.hstack([vectors(9), matrix, vectors(8)])
    other = Representation("again", "without", (ColumnRange(wide, 6, 12),))
    again = fit_all([other], questions(), cache=kept)
    assert not fits
    assert [info.name for info in again.representations] == ["again"]
    assert [result.representation for result in again.results] == ["again"] * 2
    assert [result.epochs for result in again.results] == [r.epochs for r in first.results]


def test_equal_questions_are_known_by_any_name(tmp_path: Path, fits: list[Fit]) -> None:
    # If all clients bought before, the two binary tasks are the same.
    churn, sku = questions()
    conversion, price = replace(churn, name="conversion"), replace(sku, name="propensity_price")
    first = fit_all(representations()[:1], [churn, conversion, sku], cache=tmp_path)
    assert [task for _, task, _ in fits] == ["churn", "propensity_sku"]
    assert [result.task for result in first.results] == ["churn", "conversion", "propensity_sku"]
    again = fit_all(representations()[:1], [conversion, price], cache=tmp_path)
    assert len(fits) == again.reused == 2
    assert [result.task for result in again.results] == ["conversion", "propensity_price"]
    assert [r.epochs for r in again.results] == [r.epochs for r in first.results[1:]]


def test_equal_vectors_are_fitted_once(fits: list[Fit]) -> None:
    # Without one of two blocks a profile is the other one.
    made = list(of_profile(vectors(), [("a", 2), ("b", 4)]))
    scores = fit_all(made, questions()[:1])
    assert [name for name, _, _ in fits] == ["profile", "a", "b"]
    assert [r.representation for r in scores.results] == [r.name for r in made]
    assert scores.reused == 0
    found = {r.representation: r.epochs for r in scores.results}
    assert found["without a"] == found["b"] != found["a"] == found["without b"]


def test_a_cut_run_keeps_what_was_done(tmp_path: Path, fits: list[Fit]) -> None:
    kept = tmp_path / "kept"
    done = 0.0

    @contextmanager
    def ctrl_c(description: str, total: float | None, unit: str) -> Iterator:
        def advance(fits: float) -> None:
            nonlocal done
            done += fits
            if done > 2.5:  # in the third of four networks
                raise KeyboardInterrupt

        yield advance

    with pytest.raises(KeyboardInterrupt):
        fit_all(representations(), questions(), cache=kept, progress=ctrl_c)
    assert len(fits) == 3
    fits.clear()
    found = fit_all(representations(), questions(), cache=kept)
    assert fits == [("b", "churn", SEED), ("b", "propensity_sku", SEED)]
    assert found.reused == 2
    assert bare(found) == bare(fit_all(representations(), questions()))
    assert {path.suffix for path in kept.iterdir()} == {".json", ".npy"}


def test_progress_counts_the_fits_that_are_left(tmp_path: Path) -> None:
    bars: list[tuple[str, float | None, list[float]]] = []

    @contextmanager
    def note(description: str, total: float | None, unit: str) -> Iterator:
        told: list[float] = []
        bars.append((description, total, told))
        yield told.append

    fit_all(representations()[:1], questions(), cache=tmp_path, progress=note)
    fit_all(representations(), questions(), cache=tmp_path, progress=note)
    fit_all(representations(), questions(), cache=tmp_path, progress=note)
    (first, total, told), (second, rest, others) = bars
    assert (first, second) == ("2 fits", "2 fits")
    assert total == rest == 2
    # So that the bar is full.
    assert sum(told) == sum(others) == 2


def test_curves_of_a_binary_task_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    said = np.array([0.8, 0.5, 0.5, 0.1], np.float32)[:, None]

    def known(**arguments: object) -> NetworkFit:
        return NetworkFit([Metrics(auroc=0.5), Metrics(auroc=0.875), Metrics(auroc=0.7)], said, 1.5)

    monkeypatch.setattr(network, "fit", known)
    task = binary([0, 0, 0, 1], [1, 0, 1, 0])
    (result,) = run(
        [of_matrix("x", "block", np.zeros((4, 1), np.float16))], [task], plan=challenge()
    ).results
    assert (result.choice, result.metrics, result.seconds) == ("epoch 2", Metrics(auroc=0.875), 1.5)
    curves = result.curves
    assert curves is not None
    assert curves.false_positives == [round(step / 100, 5) for step in range(101)]
    # From (0, 0.5) straight to (0.5, 1): one of two negatives ties with the second positive.
    assert curves.true_positives[20] == pytest.approx(0.7)
    assert curves.true_positives[50:] == [1.0] * 51
    # Half of those with prediction 0.5 are positive.
    assert dict(zip(curves.predicted, curves.observed, strict=True)) == {0.1: 0, 0.5: 0.5, 0.8: 1}


def test_a_profile_is_compared_with_each_block_and_without_each() -> None:
    matrix = np.arange(12, dtype=np.float16).reshape(2, 6)
    found = {r.name: r for r in of_profile(matrix, [("a", 1), ("b", 2), ("c", 3)])}
    assert [(r.name, r.kind) for r in found.values()] == [
        ("profile", "profile"),
        *((name, "block") for name in "abc"),
        *((f"without {name}", "without") for name in "abc"),
    ]
    everybody = np.arange(2)
    rows = {name: r.batch(everybody).numpy()[1].tolist() for name, r in found.items()}
    assert rows == {
        "profile": [6, 7, 8, 9, 10, 11],
        "a": [6],
        "b": [7, 8],
        "c": [9, 10, 11],
        "without a": [7, 8, 9, 10, 11],
        "without b": [6, 9, 10, 11],
        "without c": [6, 7, 8],
    }
    assert {name: len(row) for name, row in rows.items()} == {
        name: r.width for name, r in found.items()
    }


def test_a_profile_of_one_block_is_not_compared_without_it() -> None:
    found = of_profile(np.zeros((2, 3), np.float16), [("a", 3)])
    assert [r.name for r in found] == ["profile", "a"]


def test_vectors_of_some_clients_are_those_of_their_rows() -> None:
    matrix = vectors()
    representation = of_matrix("x", "block", matrix)
    for rows in ([0], [3, 4, 5], [1, 5, 9], [CLIENTS - 1], range(CLIENTS)):
        found = representation.batch(np.array(rows))
        assert str(found.dtype) == "torch.float32"
        np.testing.assert_array_equal(found.numpy(), matrix[list(rows)].astype(np.float32))


def test_what_float16_cannot_hold_is_refused() -> None:
    assert as_float16(np.array([65504.0, 1e-9]), "x").tolist() == [65504, 0]
    for value in (70_000.0, np.inf, np.nan):
        with pytest.raises(UBPError, match=r"counts: the value .* exceeds the range of float16"):
            as_float16(np.array([[1.0, value]]), "counts")
