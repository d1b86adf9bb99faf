"""Heads: fits, hyperparameters, and that the validation window does not influence them."""

import math

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from tests.evaluation import binary, multilabel
from ubp_platform.evaluation import network
from ubp_platform.evaluation.heads import (
    HEADS,
    HeadName,
    Labelled,
    Prediction,
    boosting,
    logistic,
    make_head,
)
from ubp_platform.evaluation.heads.base import base_rates, inner_score
from ubp_platform.evaluation.metrics import auroc
from ubp_platform.evaluation.network import NETWORKS, NetworkSize
from ubp_platform.evaluation.representations import Representation, of_matrix
from ubp_platform.evaluation.tasks import Task

CLIENTS, WIDTH = 400, 6


@pytest.fixture(autouse=True)
def thin(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(NETWORKS, "small", NetworkSize(16, 32, 4))


def shop(classes: int = 3, seed: int = 0) -> tuple[Representation, Task]:
    """Clients, and a task whose labels depend on their vectors."""
    rng = np.random.default_rng(seed)
    x = (rng.normal(size=(CLIENTS, WIDTH)) * np.array([9, 4, 2, 1, 1, 1]) + 5).astype(np.float16)
    centred = (x - 5).astype(np.float32)
    odds = centred @ rng.normal(size=(WIDTH, classes)) / 3 - 1
    labels = rng.random((2, CLIENTS, classes)) < 1 / (1 + np.exp(-odds))
    return of_matrix("x", "profile", x), multilabel(*labels, np.arange(classes, 0, -1))


def fit(name: HeadName, made: Representation, task: Task, seed: int = 7) -> Prediction:
    labelled = Labelled.of(task)
    return make_head(name, "small").fit(made, labelled, task.rows, seed, lambda amount: None)


@pytest.mark.parametrize("name", HEADS)
def test_a_head_learns_what_is_there(name: HeadName) -> None:
    made, task = shop()
    found = fit(name, made, task)
    assert found.probabilities.shape == (CLIENTS, 3)
    assert found.probabilities.dtype == np.float32
    assert (found.probabilities >= 0).all()
    assert (found.probabilities <= 1).all()
    assert auroc(found.probabilities, task.validation).mean() > 0.7
    assert 0.6 < found.inner <= 1


@pytest.mark.parametrize("name", HEADS)
def test_a_seed_gives_its_predictions(name: HeadName) -> None:
    made, task = shop()
    first, again = fit(name, made, task), fit(name, made, task)
    assert np.array_equal(first.probabilities, again.probabilities)
    assert (first.inner, first.choice) == (again.inner, again.choice)
    assert fit(name, made, task, seed=8).inner != first.inner


@pytest.mark.parametrize("name", ["logistic", "boosting"])
def test_the_choice_is_made_without_the_clients_held_out_and_the_fit_with_all(
    name: HeadName,
) -> None:
    made, task = shop(classes=1)
    _, held = Labelled.of(task).split(7)
    turned = task.train.copy()
    turned[held.rows] ^= 1
    asked = multilabel(turned, task.validation, [1])
    first, other = fit(name, made, task), fit(name, made, asked)
    # Predictions for the held-out clients are now wrong.
    assert other.inner < 0.5 < first.inner
    # The final fit includes them.
    assert not np.array_equal(first.probabilities, other.probabilities)


@pytest.mark.parametrize("name", HEADS)
def test_progress_sums_to_one_fit(name: HeadName) -> None:
    made, task = shop()
    told: list[float] = []
    make_head(name, "small").fit(made, Labelled.of(task), task.rows, 0, told.append)
    assert sum(told) == pytest.approx(1)
    assert len(told) > 2


@pytest.mark.parametrize("name", HEADS)
def test_hardly_any_labels_are_no_error(name: HeadName) -> None:
    made, task = shop()
    task.train[:, 1], task.train[:, 2] = 0, 1
    for count in (1, 2, 10):
        labelled = Labelled.of(task, count)
        found = make_head(name, "small").fit(made, labelled, task.rows, 0, lambda amount: None)
        assert np.isfinite(found.probabilities).all()


@pytest.mark.parametrize("name", HEADS)
def test_equal_vectors_carry_no_information(name: HeadName) -> None:
    _, task = shop()
    nothing = of_matrix("x", "foreign", np.ones((CLIENTS, 2), np.float16))
    found = fit(name, nothing, task)
    assert auroc(found.probabilities, task.validation).tolist() == [0.5] * 3
    assert found.inner == 0.5


def test_the_inner_split_holds_out_a_fifth() -> None:
    _, task = shop()
    fitted, held = Labelled.of(task).split(7)
    assert (len(fitted.rows), len(held.rows)) == (320, 80)
    assert sorted([*fitted.rows, *held.rows]) == list(range(CLIENTS))
    for some in (fitted, held):
        assert (np.diff(some.rows) > 0).all()
        assert np.array_equal(some.labels, task.train[some.rows])
    assert np.array_equal(held.rows, Labelled.of(task).split(7)[1].rows)
    assert not np.array_equal(held.rows, Labelled.of(task).split(8)[1].rows)


def test_of_one_seed_the_fewer_labels_are_among_the_more() -> None:
    rows = np.arange(0, 3 * CLIENTS, 3)
    _, task = shop()
    task = Task("propensity_sku", rows, task.train, task.validation, task.classes)
    few, more = Labelled.of(task, 30, 5), Labelled.of(task, 100, 5)
    assert (len(few.rows), len(more.rows)) == (30, 100)
    assert set(few.rows) < set(more.rows) < set(rows)
    assert np.array_equal(few.labels, task.train[few.rows // 3])
    assert set(few.rows) != set(Labelled.of(task, 30, 6).rows)


def test_the_inner_score_is_the_mean_auroc_of_classes_that_can_be_asked() -> None:
    said = np.array([[0.8, 0.1, 0.3], [0.5, 0.2, 0.3], [0.5, 0.3, 0.3], [0.1, 0.4, 0.3]])
    yes = np.array([[1, 0, 1], [0, 0, 1], [1, 0, 0], [0, 0, 0]])
    # 0.875 and 0.5; the second class has no positive.
    assert inner_score(said, yes) == pytest.approx((0.875 + 0.5) / 2)
    assert inner_score(said[:, 1:2], yes[:, 1:2]) == 0.5
    assert base_rates(yes) == pytest.approx([0.5, 0.1, 0.5])


def scaled(made: Representation, task: Task) -> np.ndarray:
    x = made.batch(task.rows).numpy().astype(np.float64)
    x -= x.mean(axis=0)
    return x / np.sqrt(x.var(axis=0).mean())


@pytest.mark.parametrize("penalty", [100.0, 1.0, 1e-2, 1e-4])
@pytest.mark.parametrize("classes", [1, 3])
def test_logistic_regression_is_scikit_learns(
    penalty: float, classes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    # One class uses the shared weights only; three without shared weights use their own only.
    monkeypatch.setattr(logistic, "SHARED", (penalty if classes == 1 else math.inf,))
    monkeypatch.setattr(logistic, "OWN", (penalty,))
    made, task = shop(classes)
    found, x = fit("logistic", made, task), scaled(made, task)
    for column in range(classes):
        plain = LogisticRegression(C=1 / (penalty * CLIENTS), tol=1e-8, max_iter=1000)
        said = plain.fit(x, task.train[:, column]).predict_proba(x)[:, 1]
        np.testing.assert_allclose(found.probabilities[:, column], said, atol=5e-3)


def test_weights_in_common_are_those_of_all_answers_one_below_the_other(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(logistic, "SHARED", (0.1,))
    monkeypatch.setattr(logistic, "OWN", (math.inf,))
    made, task = shop()
    found, x = fit("logistic", made, task), scaled(made, task)
    # Biases are nearly unpenalized where their constant input is large.
    biases = np.repeat(np.eye(3) * 1e3, CLIENTS, axis=0)
    below = np.hstack([np.tile(x, (3, 1)), biases])
    plain = LogisticRegression(C=1 / (0.1 * CLIENTS), fit_intercept=False, tol=1e-9, max_iter=5000)
    said = plain.fit(below, task.train.T.ravel()).predict_proba(below)[:, 1]
    np.testing.assert_allclose(found.probabilities.T.ravel(), said, atol=5e-3)


def test_a_class_that_nobody_bought_is_told_by_the_others() -> None:
    made, task = shop()
    task.train[:, 1:] = task.train[:, :1]
    task.train[:, 2] = 0
    found = fit("logistic", made, task)
    assert auroc(found.probabilities[:, 2:], task.validation[:, :1])[0] > 0.7


def test_few_clients_are_each_held_out_once() -> None:
    _, task = shop()
    for count in (2, 3, 7, 12, CLIENTS):
        labelled = Labelled.of(task, count)
        folds = list(labelled.folds(7))
        held = np.concatenate([held.rows for _, held in folds])
        assert sorted(held) == labelled.rows.tolist()
        for fitted, out in folds:
            assert sorted([*fitted.rows, *out.rows]) == labelled.rows.tolist()
            assert len(fitted.rows) >= 1
    assert np.array_equal(folds[0][1].rows, labelled.split(7)[1].rows)


def test_the_scale_of_an_input_does_not_matter_but_that_of_its_columns_does() -> None:
    made, task = shop()
    first = fit("logistic", made, task)
    matrix = made.parts[0].matrix
    same = fit("logistic", of_matrix("x", "profile", matrix * np.float16(16)), task)
    np.testing.assert_allclose(same.probabilities, first.probabilities, atol=2e-3)
    assert same.choice == first.choice
    weighed = matrix * np.float16([1, 1, 1, 1, 1, 64])
    other = fit("logistic", of_matrix("x", "profile", weighed), task)
    assert np.abs(other.probabilities - first.probabilities).max() > 0.05


def test_noise_is_penalized_more_than_a_signal() -> None:
    made, task = shop(classes=1)
    rng = np.random.default_rng(3)
    noise = of_matrix("x", "profile", rng.normal(size=(CLIENTS, 300)).astype(np.float16))
    strength = {
        name: float(fit("logistic", one, task).choice.removeprefix("penalty "))
        for name, one in {"signal": made, "noise": noise}.items()
    }
    assert strength["signal"] < strength["noise"]


def test_a_class_with_few_yes_is_not_boosted() -> None:
    made, task = shop()
    task.train[:, 0] = 0
    task.train[: boosting.FEWEST - 1, 0] = 1
    found = fit("boosting", made, task)
    rate = (boosting.FEWEST - 0.5) / (CLIENTS + 1)
    assert found.probabilities[:, 0] == pytest.approx(rate)
    assert len(np.unique(found.probabilities[:, 1])) > 2
    assert "median of 2 classes" in found.choice


def test_the_network_of_the_chosen_epoch_is_fitted_anew_on_all(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made, task = shop()
    found = fit("network", made, task)
    epochs = int(found.choice.split()[0])
    monkeypatch.setitem(NETWORKS, "small", NetworkSize(16, 32, epochs))
    alone = network.learn(made, task.rows, task.train, NETWORKS["small"], 7, lambda amount: None)
    *_, net = alone
    said = network.predict(net, made, task.rows)
    assert np.array_equal(found.probabilities, said.numpy())


def test_the_global_random_state_is_left_alone() -> None:
    made, task = shop()
    torch.manual_seed(7)
    before = torch.get_rng_state()
    for name in HEADS:
        fit(name, made, binary(task.train[:, 0], task.validation[:, 0]))
    assert torch.equal(torch.get_rng_state(), before)
