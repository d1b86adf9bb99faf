"""The estimated softmax against the exact one, and examples worked by hand."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from ubp_platform.blocks import sampled_softmax
from ubp_platform.blocks.sampled_softmax import SampledSoftmax, exact_cross_entropy, inclusion

FIRST, VALUES, POSITIONS = 5, 40, 12


@pytest.fixture
def table() -> nn.Embedding:
    torch.manual_seed(0)
    table = nn.Embedding(FIRST + VALUES, 4, sparse=True)
    table.weight.data *= 0.5
    return table


@pytest.fixture
def hidden() -> torch.Tensor:
    return torch.randn(POSITIONS, 4, generator=torch.Generator().manual_seed(1))


@pytest.fixture
def targets() -> torch.Tensor:
    return torch.arange(POSITIONS) * 3 % VALUES


def full(hidden: torch.Tensor, targets: torch.Tensor, table: nn.Embedding) -> torch.Tensor:
    return F.cross_entropy(hidden @ table.weight[FIRST:].T, targets, reduction="sum")


def gradients(loss: torch.Tensor, *of: torch.Tensor) -> list[torch.Tensor]:
    return [g.to_dense() if g.is_sparse else g for g in torch.autograd.grad(loss, of)]


@pytest.mark.parametrize(("values", "negatives"), [(40, 8), (40, 39), (100_000, 2048), (7, 1)])
def test_frequent_values_are_always_sampled_and_none_twice(values: int, negatives: int) -> None:
    expected = inclusion(values, negatives)
    assert expected.sum() == pytest.approx(negatives)
    assert expected.max() <= 1
    assert (np.diff(expected) <= 0).all()
    assert expected.min() > 0


def test_every_value_is_drawn_as_often_as_is_expected() -> None:
    torch.manual_seed(0)
    softmax = SampledSoftmax(VALUES, 8)
    draws = 4000
    drawn = torch.cat([softmax.draw() for _ in range(draws)])
    found = torch.bincount(drawn, minlength=VALUES) / draws
    assert drawn.shape == (8 * draws,)
    torch.testing.assert_close(found, softmax.expected, rtol=0, atol=0.03)


def test_with_all_values_as_negatives_it_is_the_full_softmax(
    table: nn.Embedding, hidden: torch.Tensor, targets: torch.Tensor
) -> None:
    hidden.requires_grad_()
    for negatives in (VALUES, VALUES + 7):
        loss = SampledSoftmax(VALUES, negatives)(hidden, targets, table, FIRST)
        expected = full(hidden, targets, table)
        torch.testing.assert_close(loss, expected)
        ours = gradients(loss, hidden, table.weight)
        for a, b in zip(ours, gradients(expected, hidden, table.weight), strict=True):
            torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)


def test_one_position_worked_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    # Logits are ln 1, ln 2, ln 3, ln 4; the target is 1, and 0, 1 and 3 are drawn.
    table = nn.Embedding(4, 1)
    table.weight.data = torch.tensor([1.0, 2.0, 3.0, 4.0]).log()[:, None]
    softmax = SampledSoftmax(4, 3)
    softmax.expected = torch.tensor([1.0, 1.0, 0.5, 0.5])
    monkeypatch.setattr(softmax, "draw", lambda: torch.tensor([0, 1, 3]))
    loss = softmax(torch.ones(1, 1), torch.tensor([1]), table, 0)
    # The target counts once although it was drawn too; 3 stands for two such values.
    assert loss.item() == pytest.approx(-np.log(2 / (2 + 1 + 4 / 0.5)))


def test_the_estimated_partition_function_is_unbiased(
    table: nn.Embedding, hidden: torch.Tensor, targets: torch.Tensor
) -> None:
    torch.manual_seed(0)
    softmax, draws = SampledSoftmax(VALUES, 8), 2000
    with torch.no_grad():
        for one in (slice(0, 1), slice(5, 6), slice(11, 12)):
            logits = hidden[one] @ table.weight[FIRST:].T
            true = logits[0, targets[one]]
            losses = [softmax(hidden[one], targets[one], table, FIRST) for _ in range(draws)]
            found = (torch.stack(losses) + true).exp().mean()
            torch.testing.assert_close(found, logits.exp().sum(), rtol=0.03, atol=0)


def test_the_expected_gradient_is_close_to_the_full_one(
    table: nn.Embedding, hidden: torch.Tensor, targets: torch.Tensor
) -> None:
    torch.manual_seed(0)
    hidden.requires_grad_()
    softmax, draws = SampledSoftmax(VALUES, 20), 1000
    expected = gradients(full(hidden, targets, table), hidden, table.weight)
    mean = [torch.zeros_like(part) for part in expected]
    for _ in range(draws):
        loss = softmax(hidden, targets, table, FIRST)
        for total, part in zip(mean, gradients(loss, hidden, table.weight), strict=True):
            total += part / draws
    for ours, exact in zip(mean, expected, strict=True):
        assert (ours - exact).norm() < 0.05 * exact.norm()


def test_only_rows_of_targets_and_drawn_values_have_gradients(
    table: nn.Embedding, hidden: torch.Tensor, targets: torch.Tensor
) -> None:
    SampledSoftmax(VALUES, 3)(hidden, targets, table, FIRST).backward()
    assert table.weight.grad.is_sparse
    assert table.weight.grad.coalesce().indices().shape[1] <= POSITIONS + 3


def test_the_exact_loss_in_slices_of_the_vocabulary(
    table: nn.Embedding,
    hidden: torch.Tensor,
    targets: torch.Tensor,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    expected = full(hidden, targets, table)
    for size in (7, VALUES, 1000):
        monkeypatch.setattr(sampled_softmax, "VALUES_PER_SLICE", size)
        loss = exact_cross_entropy(hidden, targets, table.weight[FIRST:])
        torch.testing.assert_close(loss, expected)


def test_a_single_value_costs_nothing(hidden: torch.Tensor) -> None:
    table = nn.Embedding(1, 4)
    hidden.requires_grad_()
    targets = torch.zeros(POSITIONS, dtype=torch.int64)
    loss = SampledSoftmax(1, 5)(hidden, targets, table, 0)
    loss.backward()
    assert loss.item() == 0
    assert not hidden.grad.any()
