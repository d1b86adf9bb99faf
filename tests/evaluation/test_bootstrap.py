"""The paired bootstrap: exact in every draw, compared with hand computation and repeated rows."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.evaluation import binary, multilabel
from ubp_platform.evaluation import bootstrap
from ubp_platform.evaluation.bootstrap import Bootstrap, weighted_auroc
from ubp_platform.evaluation.class_lists import Classes
from ubp_platform.evaluation.metrics import auroc, measure
from ubp_platform.evaluation.tasks import Task

CLIENTS, CLASSES = 40, 5


def asked(seed: int = 0, rows: np.ndarray | None = None) -> Task:
    """A task with rare classes: some draws have no positive, and one class has none at all."""
    rng = np.random.default_rng(seed)
    rows = np.arange(CLIENTS) if rows is None else rows
    labels = (rng.random((2, len(rows), CLASSES)) < 0.1).astype(np.uint8)
    labels[1, :, 3] = 0
    labels[1, 0, 0] = 1
    popularity = np.array([5.0, 4, 3, 2, 1])
    return Task("propensity_sku", rows, *labels, Classes(np.arange(CLASSES), popularity))


def predictions(rows: int, seed: int = 1) -> np.ndarray:
    """Predictions with ties."""
    said = np.random.default_rng(seed).integers(0, 8, (rows, CLASSES)) / 100
    return said.astype(np.float32)


small = st.integers(1, 12)


@given(st.data(), small)
@settings(max_examples=60, deadline=None)
def test_a_weighted_auroc_is_that_of_rows_repeated(data: st.DataObject, rows: int) -> None:
    said = np.array(data.draw(st.lists(st.integers(0, 3), min_size=rows, max_size=rows)), "f4")
    yes = np.array(data.draw(st.lists(st.integers(0, 1), min_size=rows, max_size=rows)), np.uint8)
    weight = np.array(data.draw(st.lists(st.integers(0, 3), min_size=rows, max_size=rows)), "f4")
    weights = np.stack([weight, np.ones_like(weight)], axis=1)
    found, defined = weighted_auroc(said, yes, weights, weights.sum(axis=0))
    for draw in range(2):
        often = weights[:, draw].astype(int)
        labels = np.repeat(yes, often)[:, None]
        assert defined[draw] == (0 < labels.sum() < len(labels))
        expected = auroc(np.repeat(said, often)[:, None], labels)
        assert found[draw] == pytest.approx(expected[0])


@pytest.mark.parametrize("skip", [False, True])
@pytest.mark.parametrize("rows", [None, np.arange(0, CLIENTS, 3)])
def test_every_draw_is_measured_as_its_clients_are(skip: bool, rows: np.ndarray | None) -> None:
    task = asked(rows=rows)
    said, draws = predictions(len(task.rows)), Bootstrap(CLIENTS, 30)
    found = draws.scores(task, said, skip)
    assert (found.shape, found.dtype) == ((30,), np.float32)
    for draw, score in enumerate(found):
        often = draws.weights[task.rows, draw]
        drawn = multilabel(
            *(np.repeat(labels, often, axis=0) for labels in (task.train, task.validation)),
            task.classes.popularity,
        )
        repeated = torch.from_numpy(np.repeat(said, often, axis=0))
        assert score == pytest.approx(measure(drawn, repeated, skip).score, abs=1e-6)


@given(st.integers(0, 999))
@settings(max_examples=20, deadline=None)
def test_equal_weights_give_the_plain_score(seed: int) -> None:
    task, said = asked(seed), predictions(CLIENTS, seed)
    draws = Bootstrap(CLIENTS, 2)
    draws.weights = np.full((CLIENTS, 2), 3, np.uint8)
    for skip in (False, True):
        plain = measure(task, torch.from_numpy(said), skip).score
        assert draws.scores(task, said, skip) == pytest.approx([plain] * 2, abs=1e-6)


def test_draws_are_of_as_many_clients_as_there_are_and_follow_from_the_seed() -> None:
    first = Bootstrap(CLIENTS, 50).weights
    assert (first.sum(axis=0) == CLIENTS).all()
    assert np.array_equal(first, Bootstrap(CLIENTS, 50).weights)
    assert not np.array_equal(first, Bootstrap(CLIENTS, 50, seed=1).weights)
    assert len(np.unique(first, axis=1).T) == 50


def test_draws_may_come_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    task, said = asked(), predictions(CLIENTS)
    whole = Bootstrap(CLIENTS, 20).scores(task, said)
    monkeypatch.setattr(bootstrap, "_CHUNK", 7 * CLIENTS)
    assert np.array_equal(Bootstrap(CLIENTS, 20).scores(task, said), whole)


def test_a_draw_without_a_yes_counts_0_or_guessing() -> None:
    task = binary([1, 0, 0], [1, 0, 0])
    said = np.array([[0.9], [0.2], [0.1]], np.float32)
    draws = Bootstrap(3, 2)
    draws.weights = np.array([[0, 1], [2, 2], [1, 0]], np.uint8)
    assert draws.scores(task, said).tolist() == [0, 1]
    assert draws.scores(task, said, skip_undefined=True).tolist() == [0.5, 1]


def test_the_interval_is_about_as_wide_as_theory_has_it() -> None:
    # Hanley and McNeil's standard error of an AUROC at chance is about sqrt(1 / 12 / 100 * 2).
    rng = np.random.default_rng(0)
    yes = np.arange(200) % 2
    drawn = Bootstrap(200).scores(binary(yes, yes), rng.random((200, 1), np.float32))
    assert drawn.std() == pytest.approx(np.sqrt(201 / 12 / 100 / 100), rel=0.15)
