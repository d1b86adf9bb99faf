"""Scores from results by hand: chosen heads, means, deviations, intervals and differences."""

import numpy as np
import pytest

from tests.evaluation.made_up import result, scores_of
from ubp_platform.evaluation.scores import Scores


def by_seeds(**by_name: list[list[float]]) -> Scores:
    """Make scores from values by name, task and seed."""
    return scores_of(
        [
            result(name, task, auroc, seed=seed)
            for name, of_tasks in by_name.items()
            for task, of_seeds in zip(("churn", "conversion"), of_tasks, strict=False)
            for seed, auroc in enumerate(of_seeds)
        ]
    )


def test_means_and_deviations_over_seeds() -> None:
    scores = by_seeds(a=[[0.5, 0.6, 0.7], [0.2, 0.2, 0.2]], b=[[0.4, 0.6, 0.5], [0.3, 0.3, 0.3]])
    assert scores.score("a", "churn") == pytest.approx((0.6, 0.1, 0))
    assert scores.score("a", "conversion") == pytest.approx((0.2, 0, 0))
    # Sums of 0.7, 0.8 and 0.9; of 0.7, 0.9 and 0.8.
    assert scores.score("a") == pytest.approx((0.8, 0.1, 0))
    assert scores.score("b") == pytest.approx((0.8, 0.1, 0))
    assert scores.sums == pytest.approx({"a": 0.8, "b": 0.8})
    assert scores.gain("a", "b", "churn").mean == pytest.approx(0.1)
    assert scores.gain("a", "b").mean == pytest.approx(0)
    assert scores.borda(["a", "b"]) == {"a": 1, "b": 1}
    assert scores.borda(["a"]) == {"a": 0}


def test_one_seed_has_no_deviation() -> None:
    assert by_seeds(a=[[0.5], [0.25]]).score("a") == (0.75, 0, 0)


def test_deviations_of_head_seeds_and_of_block_seeds_are_apart() -> None:
    values = {0: [0.5, 0.7], 1: [0.9, 0.9]}
    scores = scores_of(
        [
            result("a", "churn", auroc, seed=seed, block_seed=block)
            for block, of_seeds in values.items()
            for seed, auroc in enumerate(of_seeds)
        ]
        # A baseline has no blocks.
        + [result("b", "churn", 0.6, seed=seed) for seed in range(2)]
    )
    mean, within, between = scores.score("a", "churn")
    assert mean == pytest.approx(0.75)
    # Variances of 0.02 and 0 within; means of 0.6 and 0.9.
    assert within == pytest.approx(np.sqrt(0.01))
    assert between == pytest.approx(np.std([0.6, 0.9], ddof=1))
    assert scores.score("b", "churn") == pytest.approx((0.6, 0, 0))
    assert scores.gain("a", "b", "churn").mean == pytest.approx(0.15)


def test_the_best_head_is_that_of_the_inner_split() -> None:
    scores = scores_of(
        [
            result("a", "churn", 0.6, head="network", inner=0.7, seed=0),
            result("a", "churn", 0.7, head="network", inner=0.9, seed=1),
            result("a", "churn", 0.9, head="logistic", inner=0.7, seed=0),
            result("a", "churn", 0.9, head="logistic", inner=0.8, seed=1),
            result("a", "sku", 0.1, head="network", inner=0.5, seed=0),
            result("a", "sku", 0.1, head="network", inner=0.5, seed=1),
            result("a", "sku", 0.2, head="logistic", inner=0.6, seed=0),
            result("a", "sku", 0.2, head="logistic", inner=0.5, seed=1),
        ]
    )
    # Though the other is better in the validation window.
    assert scores.chosen("a", "churn") == "network"
    assert scores.chosen("a", "sku") == "logistic"
    assert scores.chosen("a", "churn", among=["logistic"]) == "logistic"
    assert scores.score("a").mean == pytest.approx(0.65 + 0.2)
    assert scores.score("a", head="network").mean == pytest.approx(0.65 + 0.1)
    assert scores.score("a", head="logistic").mean == pytest.approx(0.9 + 0.2)
    assert scores.heads_of("a") == ["network", "logistic"]


def test_intervals_and_differences_over_draws() -> None:
    scores = scores_of(
        [
            # Over both seeds: 1/4, 1/2, 5/8, 7/8.
            result("a", "churn", 0.5, [0.25, 0.5, 0.75, 1], seed=0),
            result("a", "churn", 0.5, [0.25, 0.5, 0.5, 0.75], seed=1),
            result("b", "churn", 0.4, [0.5, 0.5, 0.25, 0.5], seed=0),
            result("b", "churn", 0.4, [0.5, 0.5, 0.25, 0.5], seed=1),
        ]
    )
    means = [0.25, 0.5, 0.625, 0.875]
    assert scores.draws("a", "churn").tolist() == means
    assert scores.interval("a") == pytest.approx(tuple(np.quantile(means, [0.025, 0.975])))
    # Two draws in which a is ahead, and one that counts half.
    low, high = np.quantile([-0.25, 0, 0.375, 0.375], [0.025, 0.975])
    found = scores.gain("a", "b")
    assert found == pytest.approx((0.1, low, high, 0.625))
    assert found.sign == 0
    assert scores.gain("b", "a").mean == pytest.approx(-0.1)
    assert scores.gain("a", "a") == (0, 0, 0, 0.5)


def test_a_sum_of_tasks_has_the_draws_of_all() -> None:
    scores = scores_of(
        [
            result("a", "churn", 0.5, [0.5, 0.7]),
            result("a", "sku", 0.5, [0.2, 0.1]),
            result("b", "churn", 0.5, [0.4, 0.4]),
            result("b", "sku", 0.5, [0.1, 0.1]),
        ]
    )
    assert scores.draws("a") == pytest.approx([0.7, 0.8])
    gain = scores.gain("a", "b")
    assert gain.ahead == 1
    assert gain.sign == 1
    assert scores.gain("b", "a").sign == -1


def test_a_profile_without_a_block_is_compared_by_the_head_that_both_have() -> None:
    scores = scores_of(
        [
            result("profile", "churn", 0.9, [0.9] * 2, head="network", inner=0.9),
            result("profile", "churn", 0.8, [0.8] * 2, head="logistic", inner=0.8),
            result("without a", "churn", 0.75, [0.7, 0.75], head="logistic", inner=0.7),
        ],
        {"profile": "profile", "without a": "without"},
    )
    lost = scores.lost("without a")
    assert lost.mean == pytest.approx(0.05)
    assert (lost.low, lost.high) == pytest.approx((0.05125, 0.09875))
    assert scores.subject.name == "profile"
    assert [info.name for info in scores.ranked()] == ["profile"]


def test_fewer_labels_are_scored_apart() -> None:
    scores = scores_of(
        [
            result("a", "churn", 0.8),
            result("a", "churn", 0.6, labels=100, head="network", inner=0.7),
            result("a", "churn", 0.5, labels=100, head="logistic", inner=0.6),
            # The task has fewer clients than that.
            result("a", "sku", 0.3),
            result("b", "churn", 0.9),
            result("b", "sku", 0.9),
        ]
    )
    assert scores.score("a", "churn").mean == pytest.approx(0.8)
    assert scores.chosen("a", "churn", 100) == "network"
    assert scores.score("a", "churn", labels=100).mean == pytest.approx(0.6)
    assert scores.score("a", labels=100).mean == pytest.approx(0.9)
    assert scores.interval("a", labels=100) == pytest.approx((0.9, 0.9))
    assert [info.name for info in scores.budgeted()] == ["a"]
