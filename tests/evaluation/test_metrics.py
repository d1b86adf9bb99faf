"""The challenge's metrics: computed by hand, and compared with torchmetrics in batches."""

import math
import warnings

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torchmetrics import AUROC, Metric

from tests.evaluation import binary, multilabel
from ubp_platform.evaluation.metrics import Metrics, borda, diversity, measure, novelty
from ubp_platform.evaluation.tasks import Task

BATCH = 128


def column(*values: float) -> Tensor:
    return torch.tensor(values)[:, None]


def rows(*values: list[float]) -> Tensor:
    return torch.tensor(values)


def test_auroc_counts_pairs_and_half_of_a_tie() -> None:
    task = binary([0, 0, 0, 1], [1, 0, 1, 0])
    # Of the four pairs of a positive and a negative, three are in order and one ties.
    found = measure(task, column(0.8, 0.5, 0.5, 0.1))
    assert found == Metrics(auroc=0.875)
    assert found.score == 0.875
    assert measure(task, column(0.3, 0.3, 0.3, 0.3)).auroc == 0.5
    assert measure(task, column(0.1, 0.5, 0.2, 0.8)).auroc == 0.0


def test_a_class_without_a_yes_or_without_a_no_counts_0() -> None:
    yes = np.array([[1, 0, 1], [0, 0, 1], [1, 0, 1], [0, 0, 1]])
    task = multilabel(np.ones_like(yes), yes, np.ones(3))
    said = column(0.8, 0.5, 0.5, 0.1).repeat(1, 3)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = measure(task, said)
    assert found.auroc == pytest.approx(0.875 / 3)
    assert task.unanswerable == 2


def test_diversity_by_hand() -> None:
    # Entropies of 1 (even), 0.8113 (three to one) and 0 bits, of at most 1.
    assert diversity(rows([0.2, 0.2])) == pytest.approx(1)
    assert diversity(rows([0.3, 0.1])) == pytest.approx(0.811278, abs=1e-6)
    assert diversity(rows([1, 0])) == pytest.approx(0, abs=1e-6)
    assert diversity(rows([0.2, 0.2], [0.3, 0.1], [1, 0])) == pytest.approx(0.603759, abs=1e-6)
    # 1.5 bits of at most 2.
    assert diversity(rows([0.4, 0.2, 0.2, 0])) == pytest.approx(0.75)
    # A client without any prediction has no entropy.
    assert diversity(rows([0.2, 0.2], [0, 0])) == pytest.approx(0.5)


def test_novelty_of_fewer_classes_than_it_looks_at() -> None:
    # Shares of 0.75, 0.25 and 0: popularity 0.02 * 0.75 + 0.04 * 0.25 = 0.025.
    said = rows([0.02, 0.04, 0.5])
    assert novelty(said, np.array([3.0, 1.0, 0.0])) == pytest.approx(0.975**100)
    # The scale of popularities does not matter.
    assert novelty(said, np.array([0.6, 0.2, 0.0])) == pytest.approx(0.975**100)
    # 0.025 and 0.035 on average.
    two = rows([0.02, 0.04, 0.5], [0.04, 0.02, 0.5])
    assert novelty(two, np.array([3.0, 1.0, 0.0])) == pytest.approx(0.97**100)


def test_novelty_looks_at_the_ten_likeliest_classes() -> None:
    # The ten largest popularities sum to 10 + 9 * 1; the eleven least likely classes are left out,
    # the most popular one among them.
    popularity = np.array([10.0] + [1.0] * 20)
    said = rows([0.001] + [0.1] * 10 + [0.002] * 10)
    assert novelty(said, popularity) == pytest.approx((1 - 10 * 0.1 / 19) ** 100)
    surely = rows([1.0] * 10 + [0.0] * 11)
    assert novelty(surely, popularity) == 0


def test_a_score_is_auroc_alone_or_eighty_percent_of_it() -> None:
    assert Metrics(auroc=0.7).score == 0.7
    assert Metrics(auroc=0.5, novelty=1, diversity=0).score == pytest.approx(0.5)
    assert Metrics(auroc=0.5, novelty=0.25, diversity=0.75).score == pytest.approx(0.5)
    assert Metrics(auroc=1, novelty=1, diversity=1).score == pytest.approx(1)


def test_borda_gives_a_point_for_everyone_behind() -> None:
    scores = {
        "a": {"churn": 0.7, "sku": 0.9, "price": 0.1},  # 2nd, 1st, 3rd: 2 + 3 + 1
        "b": {"churn": 0.9, "sku": 0.5, "price": 0.1},  # 1st, 2nd, 3rd: 3 + 2 + 1
        "c": {"churn": 0.7, "sku": 0.5, "price": 0.3},  # 2nd, 2nd, 1st: 2 + 2 + 3
        "d": {"churn": 0.1, "sku": 0.5, "price": 0.2},  # 4th, 2nd, 2nd: 0 + 2 + 2
    }
    assert borda(scores) == {"a": 6, "b": 6, "c": 7, "d": 4}
    assert borda({"alone": {"churn": 0.7}}) == {"alone": 0}


class Diversity(Metric):
    """Mean entropy of the predictions, as a share of the largest, batch by batch."""

    full_state_update = False

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.classes = classes
        self.add_state("total", torch.tensor(0.0), "sum")
        self.add_state("clients", torch.tensor(0), "sum")

    def update(self, said: Tensor, yes: Tensor) -> None:
        shares = torch.nn.functional.normalize(said, p=1, dim=1)
        self.total += -(shares * torch.log2(shares + 1e-9)).sum()
        self.clients += len(said)

    def compute(self) -> Tensor:
        return self.total / self.clients / math.log2(self.classes)


class Novelty(Metric):
    """How unpopular the ten likeliest classes are, batch by batch."""

    full_state_update = False

    def __init__(self, popularity: np.ndarray) -> None:
        super().__init__()
        shares = torch.tensor(popularity, dtype=torch.float32)
        self.top = min(10, len(shares))
        self.shares = shares / shares.topk(self.top).values.sum()
        self.add_state("total", torch.tensor(0.0), "sum")
        self.add_state("clients", torch.tensor(0), "sum")

    def update(self, said: Tensor, yes: Tensor) -> None:
        likeliest = said.topk(self.top, dim=1)
        self.total += (likeliest.values * self.shares[likeliest.indices]).sum()
        self.clients += len(said)

    def compute(self) -> Tensor:
        return (1 - self.total / self.clients) ** 100


def by_batches(metric: Metric, task: Task, said: Tensor) -> float:
    labels = torch.from_numpy(task.validation).long()
    if task.classes is None:
        said, labels = said[:, 0], labels[:, 0]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of classes without a yes
        for first in range(0, len(said), BATCH):
            metric.update(said[first : first + BATCH], labels[first : first + BATCH])
        return metric.compute().item()


def sigmoids(rng: np.random.Generator, *shape: int, rounded: bool) -> Tensor:
    """Draw predictions as unlikely as purchases are; rounded ones tie."""
    said = torch.from_numpy(rng.normal(-4, 2, shape)).float().sigmoid()
    return (said * 50).round() / 50 if rounded else said


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32), st.integers(2, 500), st.booleans())
def test_binary_auroc_is_that_of_torchmetrics(seed: int, clients: int, rounded: bool) -> None:
    rng = np.random.default_rng(seed)
    task = binary(np.ones(clients), rng.random(clients) < rng.random())
    said = sigmoids(rng, clients, 1, rounded=rounded)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of answers that are all alike
        found = measure(task, said)
    assert found.auroc == pytest.approx(by_batches(AUROC(task="binary"), task, said), abs=1e-6)
    assert found.novelty is found.diversity is None


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32), st.integers(2, 400), st.integers(2, 30), st.booleans())
def test_multilabel_metrics_are_those_of_torchmetrics(
    seed: int, clients: int, classes: int, rounded: bool
) -> None:
    rng = np.random.default_rng(seed)
    shape = (clients, classes)
    popularity = rng.integers(0, 1000, classes) + 1.0
    # Some classes have no positive.
    task = multilabel(np.ones(shape), rng.random(shape) < rng.random(classes) / 10, popularity)
    said = sigmoids(rng, *shape, rounded=rounded)
    auroc = AUROC(task="multilabel", num_labels=classes, average="macro")
    found = measure(task, said)
    assert found.auroc == pytest.approx(by_batches(auroc, task, said), abs=1e-6)
    expected = by_batches(Diversity(classes), task, said)
    assert found.diversity == pytest.approx(expected, abs=1e-5)
    if not rounded:  # which of equal predictions are the likeliest is anybody's choice
        assert found.novelty == pytest.approx(by_batches(Novelty(popularity), task, said), abs=1e-4)
    score = 0.8 * found.auroc + 0.1 * found.novelty + 0.1 * found.diversity
    assert found.score == pytest.approx(score)
