"""The downstream network, compared with a plain one after the challenge's description."""

from collections.abc import Callable
from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tests.evaluation import binary, multilabel
from ubp_platform.evaluation import network
from ubp_platform.evaluation.metrics import measure
from ubp_platform.evaluation.network import (
    NETWORKS,
    DownstreamNetwork,
    NetworkFit,
    NetworkSize,
    fit,
)
from ubp_platform.evaluation.representations import ColumnRange, Representation, of_matrix
from ubp_platform.evaluation.tasks import Task

THIN, WIDE = 12, 20
CLIENTS, WIDTH = 300, 7
SEED = 1278


class PlainBlock(nn.Module):
    def __init__(self, thin: int, wide: int) -> None:
        super().__init__()
        self.first = nn.Linear(thin, wide)
        self.second = nn.Linear(wide, thin)

    def forward(self, x: Tensor) -> Tensor:
        return self.second(F.gelu(self.first(x)))


class Plain(nn.Module):
    """Layers are made in this order: their first weights depend on it."""

    def __init__(self, inputs: int, outputs: int, thin: int = THIN, wide: int = WIDE) -> None:
        super().__init__()
        self.input_projection = nn.Linear(inputs, thin)
        self.input_norm = nn.LayerNorm(thin)
        self.norm_1 = nn.LayerNorm(thin)
        self.norm_2 = nn.LayerNorm(thin)
        self.norm_3 = nn.LayerNorm(thin)
        self.block_1 = PlainBlock(thin, wide)
        self.block_2 = PlainBlock(thin, wide)
        self.block_3 = PlainBlock(thin, wide)
        self.output_norm = nn.LayerNorm(thin)
        self.output = nn.Linear(thin, outputs)

    def forward(self, x: Tensor) -> Tensor:
        x = self.input_norm(self.input_projection(x))
        x = x + self.block_1(self.norm_1(x))
        x = x + self.block_2(self.norm_2(x))
        x = x + self.block_3(self.norm_3(x))
        return self.output(self.output_norm(x))


def plain_fit(vectors: np.ndarray, task: Task) -> list[Tensor]:
    """Fit the plain network; return the predictions after each of three epochs."""
    x = torch.tensor(vectors, dtype=torch.float32)[torch.tensor(task.rows)]
    y = torch.tensor(task.train, dtype=torch.float32)
    torch.manual_seed(SEED)
    net = Plain(x.shape[1], y.shape[1])
    optimizer = torch.optim.AdamW(net.parameters(), lr=1e-3)
    loss = nn.BCEWithLogitsLoss()
    said = []
    for _ in range(3):
        for batch in torch.arange(len(x)).split(128):
            optimizer.zero_grad()
            loss(net(x[batch]), y[batch]).backward()
            optimizer.step()
        with torch.no_grad():
            said.append(net(x).sigmoid())
    return said


@pytest.fixture(autouse=True)
def thin(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(NETWORKS, "small", NetworkSize(THIN, WIDE, 3))


@pytest.fixture
def vectors() -> np.ndarray:
    return np.random.default_rng(1).normal(size=(CLIENTS, WIDTH)).astype(np.float16)


def churn(vectors: np.ndarray) -> Task:
    """A task of two thirds of the clients whose labels depend on the vectors."""
    rng = np.random.default_rng(2)
    noisy = (vectors[:, 0] + rng.normal(size=(2, CLIENTS)) > 0).astype(np.uint8)[:, :, None]
    rows = np.flatnonzero(np.arange(CLIENTS) % 3)
    return Task("churn", rows, noisy[0, rows], noisy[1, rows])


def bought(vectors: np.ndarray) -> Task:
    rng = np.random.default_rng(3)
    train, validation = vectors[:, :5] + rng.normal(size=(2, CLIENTS, 5)) > 1
    return multilabel(train, validation, np.array([9, 7, 4, 2, 1]))


TASKS = {"binary": churn, "multilabel": bought}


def test_the_challenges_network_is_2048_and_4096_wide_and_learns_for_3_epochs() -> None:
    assert NETWORKS["paper"] == (2048, 4096, 3)


def test_first_weights_are_those_of_the_challenges_code() -> None:
    torch.manual_seed(SEED)
    ours = DownstreamNetwork(WIDTH, 5, THIN, WIDE)
    torch.manual_seed(SEED)
    plain = Plain(WIDTH, 5)
    for mine, other in zip(ours.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(mine, other, rtol=0, atol=0)
    x = torch.randn(9, WIDTH)
    torch.testing.assert_close(ours(x), plain(x))


@pytest.mark.parametrize("make", TASKS.values(), ids=TASKS)
def test_the_seed_is_set_before_the_layers_are_made(
    vectors: np.ndarray, make: Callable[[np.ndarray], Task], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(network, "LEARNING_RATE", 0.0)
    task = make(vectors)
    found = fit(of_matrix("x", "block", vectors), task, "small")
    torch.manual_seed(SEED)
    untouched = Plain(WIDTH, task.train.shape[1])
    said = untouched(torch.tensor(vectors[task.rows], dtype=torch.float32)).sigmoid()
    np.testing.assert_allclose(found.probabilities, said.detach().numpy(), atol=1e-6)


@pytest.mark.parametrize("make", TASKS.values(), ids=TASKS)
def test_a_fit_is_that_of_a_plain_loop(
    vectors: np.ndarray, make: Callable[[np.ndarray], Task]
) -> None:
    task = make(vectors)
    found = fit(of_matrix("x", "block", vectors), task, "small")
    plain = plain_fit(vectors, task)
    expected = [measure(task, said) for said in plain]
    assert len(found.epochs) == 3
    for ours, theirs in zip(found.epochs, expected, strict=True):
        assert ours.model_dump() == pytest.approx(theirs.model_dump(), abs=1e-4)
    scores = [metrics.score for metrics in expected]
    assert found.best_epoch == int(np.argmax(scores))
    best = plain[found.best_epoch].numpy()
    assert found.probabilities.shape == task.validation.shape
    assert found.probabilities.dtype == np.float32
    np.testing.assert_allclose(found.probabilities, best, atol=1e-5)
    # Each epoch has moved what was to be compared.
    assert min(np.abs(a - b).max() for a, b in pairwise(said.numpy() for said in plain)) > 1e-3


def same(ours: NetworkFit, other: NetworkFit) -> bool:
    return ours.epochs == other.epochs and np.array_equal(ours.probabilities, other.probabilities)


def test_a_seed_gives_its_scores_and_another_one_others(vectors: np.ndarray) -> None:
    representation, task = of_matrix("x", "block", vectors), bought(vectors)
    first = fit(representation, task, "small")
    torch.manual_seed(99)
    assert same(fit(representation, task, "small"), first)
    assert same(fit(representation, task, "small", SEED), first)
    other = fit(representation, task, "small", SEED + 1)
    assert other.best.score != first.best.score


def test_the_global_random_state_is_left_alone(vectors: np.ndarray) -> None:
    torch.manual_seed(7)
    before = torch.get_rng_state()
    fit(of_matrix("x", "block", vectors), churn(vectors), "small")
    assert torch.equal(torch.get_rng_state(), before)


def test_rows_come_in_the_order_of_the_list(vectors: np.ndarray) -> None:
    task = bought(vectors)
    assert task.classes is not None
    order = np.random.default_rng(0).permutation(CLIENTS)
    moved = multilabel(task.train[order], task.validation[order], task.classes.popularity)
    ours = fit(of_matrix("x", "block", vectors[order]), moved, "small")
    plain = plain_fit(vectors[order], moved)
    np.testing.assert_allclose(ours.probabilities, plain[ours.best_epoch].numpy(), atol=1e-5)
    assert ours.epochs != fit(of_matrix("x", "block", vectors), task, "small").epochs


def test_of_equal_epochs_the_first_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    nothing = of_matrix("x", "block", np.zeros((CLIENTS, 2), np.float16))
    task = binary(np.arange(CLIENTS) % 2, np.arange(CLIENTS) % 3 == 0)
    found = fit(nothing, task, "small")
    assert [metrics.auroc for metrics in found.epochs] == [0.5] * 3
    assert found.best_epoch == 0
    monkeypatch.setitem(NETWORKS, "small", NetworkSize(THIN, WIDE, 1))
    once = fit(nothing, task, "small")
    np.testing.assert_array_equal(found.probabilities, once.probabilities)


def test_parts_side_by_side_are_one_vector(vectors: np.ndarray) -> None:
    # Two parts of one matrix and one of another, in another order than they lie there.
    other = np.hstack([vectors[:, 4:5], vectors[:, :2]])
    parts = (
        ColumnRange(other, 1, 3),
        ColumnRange(vectors, 2, 4),
        ColumnRange(other, 0, 1),
        ColumnRange(vectors, 5, WIDTH),
    )
    pieced = Representation("pieced", "without", parts)
    assert pieced.width == WIDTH
    ours = fit(pieced, churn(vectors), "small")
    assert same(ours, fit(of_matrix("x", "block", vectors), churn(vectors), "small"))


def test_progress_is_told_every_row_once_an_epoch(vectors: np.ndarray) -> None:
    told: list[float] = []
    task = churn(vectors)
    fit(of_matrix("x", "block", vectors), task, "small", advance=told.append)
    assert told == [128, len(task.rows) - 128] * 3
