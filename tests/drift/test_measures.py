"""Measures of drift: known answers, and what must hold for any vectors."""

from math import log, sqrt

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from ubp_platform.drift import measures

CLIENTS = np.arange(300)


def normal(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape, np.float32)


def column(*values: float) -> np.ndarray:
    return np.array(values, np.float32)[:, None]


def test_the_shift_is_in_standard_deviations_of_the_first() -> None:
    # Deviations of 1 and sqrt(3) in two columns: 2 together. The means move by 3 and 4: by 5.
    a = np.array([[1, sqrt(3)], [-1, sqrt(3)], [1, -sqrt(3)], [-1, -sqrt(3)]], np.float32)
    assert measures.centroid_shift(a, a + np.float32([3, 4])) == pytest.approx(2.5)
    assert measures.centroid_shift(a, 10 * a) == pytest.approx(0, abs=1e-6)
    constant = column(0.1, 0.1, 0.1)
    assert measures.centroid_shift(constant, constant) == 0
    assert measures.centroid_shift(constant, constant + 1) is None


def test_the_cosine_is_that_of_the_same_client() -> None:
    a = np.array([[1, 0], [0, 2], [3, 3], [0, 0], [0, 0]], np.float32)
    b = np.array([[5, 0], [1, 0], [-1, -1], [0, 0], [1, 0]], np.float32)
    assert measures.mean_cosine(a, b) == pytest.approx((1 + 0 - 1 + 1 + 0) / 5)
    assert measures.mean_cosine(a[:0], b[:0]) is None


def test_the_psi_of_bins_that_are_known() -> None:
    a = np.arange(100)
    # All of B is in the upper half: 20 a bin there, none below.
    b = np.repeat(np.arange(50, 100), 2)
    empty, tenth, fifth = (share / 105 for share in (0.5, 10.5, 20.5))
    expected = 5 * (empty - tenth) * log(empty / tenth) + 5 * (fifth - tenth) * log(fifth / tenth)
    assert measures.psi(a, b) == pytest.approx(expected)


def test_a_frequent_value_has_a_bin_of_its_own() -> None:
    a = np.repeat([0, 1, 2], [60, 30, 10])
    less = np.repeat([-1, 0, 1, 2], [30, 30, 30, 10])
    # Bins: below 0, 0, up to 1 (two of them: 1 fills several tenths, too), above.
    counts_a, counts_b = np.array([0, 60, 0, 30, 10]), np.array([30, 30, 0, 30, 10])
    shares = [(one + 0.5) / 102.5 for one in (counts_a, counts_b)]
    expected = ((shares[1] - shares[0]) * np.log(shares[1] / shares[0])).sum()
    assert measures.psi(a, less) == pytest.approx(expected)
    # Of a constant, both directions are seen.
    constant = np.ones(100)
    assert measures.psi(constant, constant) == 0
    assert measures.psi(constant, constant - 1e-3) > 5 < measures.psi(constant, constant + 1e-3)


def test_components_are_those_of_the_first_largest_first() -> None:
    a = normal(400, 3) * np.float32([10, 3, 1])
    b = a + np.float32([0, 9, 0])
    clients = np.arange(400)
    found = measures.component_psi(a, b, clients, clients)
    assert len(found) == 3
    assert found[1] > 3
    assert max(found[0], found[2]) < 0.5
    flat, few = np.zeros((20, 2), np.float32), clients[:20]
    assert measures.component_psi(flat, normal(20, 2), few, few) == []
    # Where many are equal, and in the other nearly equal, nothing has moved.
    a[:200] = 0
    near = a + 0.02 * normal(400, 3, seed=3)
    assert measures.component_psi(a, near, clients, clients)[0] < 0.05


def test_the_auroc_is_a_half_of_equals_and_one_of_what_is_apart() -> None:
    a, other = normal(300, 4), normal(300, 4, seed=1)
    assert measures.auroc(a, other, CLIENTS, CLIENTS) == pytest.approx(0.5, abs=0.08)
    assert measures.auroc(a, a + 9, CLIENTS, CLIENTS) == 1
    # What differs in the last digits of a constant column is nothing.
    a[:, 0] = 0
    digits = a.copy()
    digits[:, 0] = 1e-7
    assert measures.auroc(a, digits, CLIENTS, CLIENTS) == pytest.approx(0.5, abs=0.01)
    assert measures.auroc(a[:1], a[:0], CLIENTS[:1], CLIENTS[:0]) is None


def test_the_overlap_of_what_is_unrelated_is_that_of_chance() -> None:
    a = normal(300, 8)
    shuffled = np.random.default_rng(1).permutation(a)
    assert measures.neighbour_overlap(a, shuffled) == pytest.approx(10 / 299, abs=0.02)
    # A collapse is no agreement: in B everybody is everybody's neighbour.
    assert measures.neighbour_overlap(a, np.ones((300, 2), np.float32)) == pytest.approx(10 / 299)
    assert measures.neighbour_overlap(a[:10], a[:10]) is None


VECTORS = arrays(
    np.float32,
    st.tuples(st.integers(12, 40), st.integers(1, 5)),
    elements=st.floats(-100, 100, width=32),
)
FEW = settings(max_examples=25, deadline=None)


@FEW
@given(VECTORS)
def test_with_itself_nothing_differs(a: np.ndarray) -> None:
    clients = np.arange(len(a))
    assert measures.centroid_shift(a, a) == 0
    assert measures.mean_cosine(a, a) == 1
    assert not any(measures.component_psi(a, a, clients, clients))
    assert not any(measures.column_psi(a, a))
    assert measures.auroc(a, a, clients, clients) == pytest.approx(0.5)
    assert measures.neighbour_overlap(a, a) == 1


@FEW
@given(VECTORS, st.integers(0, 99))
def test_the_overlap_does_not_see_a_rotation_and_is_symmetric(a: np.ndarray, seed: int) -> None:
    rng = np.random.default_rng(seed)
    width = a.shape[1]
    turn, _ = np.linalg.qr(rng.standard_normal((width, width)))
    turned = (a.astype(np.float64) @ turn + 5).astype(np.float32)
    # Equal up to ties that rounding breaks; grids have many.
    assert measures.neighbour_overlap(a, turned) > 0.9
    b = a + rng.standard_normal(a.shape).astype(np.float32) * 30
    assert measures.neighbour_overlap(a, b) == measures.neighbour_overlap(b, a)
    assert measures.mean_cosine(a, b) == pytest.approx(measures.mean_cosine(b, a))


@FEW
@given(VECTORS)
def test_a_psi_is_never_negative(a: np.ndarray) -> None:
    b = np.random.default_rng(0).permutation(a.ravel())[: len(a)]
    assert measures.psi(a[:, 0], b) >= 0


def test_chance_exceeds_what_it_may_about_as_often_as_it_may() -> None:
    rng = np.random.default_rng(0)
    allowed = measures.chance_psi(200, 300)
    found = [measures.psi(rng.random(200), rng.random(300)) for _ in range(1000)]
    assert sum(one > allowed for one in found) <= 5
    assert max(found) > allowed / 2
