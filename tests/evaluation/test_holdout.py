"""The default protocol: its jobs, and that the validation window selects nothing."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.evaluation import binary, multilabel
from tests.evaluation.evaluated import thin_networks
from ubp_platform.errors import UBPError
from ubp_platform.evaluation import bootstrap, protocol
from ubp_platform.evaluation.plan import EvaluationPlan, select_budgets, select_heads
from ubp_platform.evaluation.protocol import run
from ubp_platform.evaluation.representations import Representation, of_matrix, of_profile
from ubp_platform.evaluation.scores import Scores
from ubp_platform.evaluation.tasks import Task

CLIENTS = 150


@pytest.fixture(autouse=True)
def thin() -> Iterator[None]:
    with thin_networks():
        yield


def compared() -> list[Representation]:
    rng = np.random.default_rng(0)
    matrix = rng.normal(size=(CLIENTS, 400)).astype(np.float16)
    simple = of_matrix("simple", "baseline", matrix[:, :5].copy())
    return [*of_profile(matrix, [("handcrafted", 6), ("b", 394)]), simple]


def questions() -> list[Task]:
    rng = np.random.default_rng(5)
    churn = binary(*(rng.random((2, CLIENTS)) < 0.4))
    bought = rng.random((2, CLIENTS, 4)) < 0.2
    bought[1, :, 3] = False
    return [churn, multilabel(*bought, np.array([5, 3, 2, 1]))]


def scored(scores: Scores) -> set[tuple[str, str, int | None]]:
    return {(r.representation, r.head, r.labels) for r in scores.results}


def test_who_is_scored_by_which_heads_and_with_how_many_labels() -> None:
    scores = run(compared(), questions()[:1], "small", EvaluationPlan(budgets=[30, 100, 200]))
    wide, narrow = ("network", "logistic"), ("network", "logistic", "boosting")
    expected = {
        *(("profile", head, labels) for head in wide for labels in (None, 30, 100)),
        *(("handcrafted", head, labels) for head in narrow for labels in (None, 30, 100)),
        *(("simple", head, labels) for head in narrow for labels in (None, 30, 100)),
        *(("b", head, None) for head in wide),
        ("without handcrafted", "logistic", None),
        ("without b", "logistic", None),
    }
    assert scored(scores) == expected
    assert {info.name for info in scores.budgeted()} == {"profile", "handcrafted", "simple"}
    for name in ("profile", "without b"):
        assert scores.lost("without b", "churn").mean == pytest.approx(
            scores.score("profile", "churn", "logistic").mean
            - scores.score("without b", "churn").mean
        ), name


def test_a_class_nobody_bought_is_left_out_and_counted() -> None:
    (_, task), (made, *_) = questions(), compared()
    scores = run([made], [task], "small", EvaluationPlan(heads=["logistic"]))
    assert scores.tasks[0].unanswerable == 1
    (result,) = scores.results
    counted = run([made], [task], "small", EvaluationPlan("challenge", ["network"])).results[0]
    assert result.metrics.auroc > 0.3
    # Three quarters of it at most.
    assert counted.metrics.auroc < 0.75


def test_the_validation_window_chooses_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[np.ndarray] = []
    measure = protocol.measure

    def noting(task: Task, probabilities, *rest):
        said.append(probabilities.numpy().copy())
        return measure(task, probabilities, *rest)

    monkeypatch.setattr(protocol, "measure", noting)
    rng = np.random.default_rng(1)
    plan = EvaluationPlan(budgets=[50])
    first = run(compared()[-1:], questions(), "small", plan)
    ours = list(said)
    said.clear()
    shuffled = [replace(t, validation=rng.permutation(t.validation)) for t in questions()]
    other = run(compared()[-1:], shuffled, "small", plan)
    assert len(ours) == len(said) == 2 * 3 * 2
    for one, two in zip(ours, said, strict=True):
        assert np.array_equal(one, two)
    assert [r.choice for r in first.results] == [r.choice for r in other.results]
    assert [r.inner for r in first.results] == [r.inner for r in other.results]
    assert [r.metrics for r in first.results] != [r.metrics for r in other.results]
    for task in ("churn", "propensity_sku"):
        assert first.chosen("simple", task) == other.chosen("simple", task)


def test_what_is_kept_holds_the_draws_too(tmp_path: Path) -> None:
    plan = EvaluationPlan(seeds=[1, 2], budgets=[50])
    first = run(compared(), questions(), "small", plan, tmp_path)
    again = run(compared(), questions(), "small", plan, tmp_path)
    assert again.reused == len(again.results)
    assert again.results == first.results
    assert {len(result.drawn) for result in again.results} == {bootstrap.DRAWS}
    assert first.gain("profile", "simple") == again.gain("profile", "simple")
    drawn = sorted(tmp_path.glob("*.npy"))
    assert [path.stem for path in drawn] == [path.stem for path in sorted(tmp_path.glob("*.json"))]
    # A truncated file is computed again.
    drawn[0].write_bytes(drawn[0].read_bytes()[:200])
    drawn[1].unlink()
    drawn[2].write_bytes(b"")
    mended = run(compared(), questions(), "small", plan, tmp_path)
    assert mended.reused < len(mended.results)
    assert [r.drawn.tolist() for r in mended.results] == [r.drawn.tolist() for r in first.results]


@pytest.mark.parametrize(
    "other",
    [
        EvaluationPlan("challenge", ["network"], [3]),
        EvaluationPlan(heads=["logistic"], seeds=[3]),
        EvaluationPlan(heads=["network"], seeds=[4]),
    ],
)
def test_results_of_another_plan_are_not_taken(other: EvaluationPlan, tmp_path: Path) -> None:
    made, task = compared()[-1:], questions()[:1]
    run(made, task, "small", EvaluationPlan(heads=["network"], seeds=[3]), tmp_path)
    assert run(made, task, "small", other, tmp_path).reused == 0
    assert (
        run(made, task, "small", EvaluationPlan(heads=["network"], seeds=[3]), tmp_path).reused == 1
    )


def test_draws_are_paired_over_tasks_and_rows() -> None:
    made, tasks = compared(), questions()
    twin = Representation("twin", "baseline", made[-1].parts)
    scores = run([made[-1], twin, made[0]], tasks, "small", EvaluationPlan(heads=["logistic"]))
    assert scores.gain("simple", "twin") == (0, 0, 0, 0.5)
    assert scores.gain("simple", "profile").low < scores.gain("simple", "profile").high


def test_block_seeds_are_averaged() -> None:
    rng = np.random.default_rng(0)
    rows = [
        made
        for seed in range(3)
        for made in of_profile(rng.normal(size=(CLIENTS, 4)).astype("f2"), [("b", 4)], seed)
    ]
    scores = run(
        [*rows, compared()[-1]], questions()[:1], "small", EvaluationPlan(heads=["logistic"])
    )
    assert scores.block_seeds == [0, 1, 2]
    assert [info.name for info in scores.representations] == ["profile", "b", "simple"]
    assert [r.block_seed for r in scores.of("profile", "churn")] == [0, 1, 2]
    assert scores.score("profile").between > 0 == scores.score("profile").deviation
    assert scores.score("simple").between == 0


def test_heads_are_named() -> None:
    assert select_heads([], "holdout") == ("network", "logistic", "boosting")
    assert select_heads(["boosting", "network"], "holdout") == ("network", "boosting")
    assert select_heads([], "challenge") == ("network",)
    assert select_heads(["network"], "challenge") == ("network",)
    for names, protocol_name, message in (
        (["forest"], "holdout", "no head is called 'forest'; there are network, logistic"),
        (["boosting"], "holdout", "--heads boosting: profiles wider than 64"),
        (["logistic"], "challenge", "--heads logistic: the challenge has one head"),
    ):
        with pytest.raises(UBPError, match=message):
            select_heads(names, protocol_name)


def test_budgets_are_named() -> None:
    assert select_budgets([], 17_000, "holdout") == (100, 300, 1000, 3000, 10_000)
    assert select_budgets([], 300, "holdout") == (100,)
    assert select_budgets([], 17_000, "challenge") == ()
    assert select_budgets(["all"], 300, "holdout") == ()
    assert select_budgets(["200", "50", "50"], 300, "holdout") == (50, 200)
    for texts in (["x"], ["9"], ["300"], ["-50"], ["1e2"], ["all", "100"], ["100", "all"]):
        with pytest.raises(UBPError, match=f"--labels {','.join(texts)}: a budget is an integer"):
            select_budgets(texts, 300, "holdout")
    with pytest.raises(UBPError, match="--labels 100: the challenge labels all clients"):
        select_budgets(["100"], 300, "challenge")
