"""Maps between the spaces of two profile versions, on profiles whose relation is known."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ubp_platform.profile.alignment import Columns, fit_maps, transform
from ubp_platform.profile.head_scores import head_scores

BLOCKS = [Columns("a", 0, 8), Columns("b", 8, 4)]


def profiles(seed: int, clients: int = 400) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(clients, 12)).astype(np.float32)


def turned(seed: int, vectors: np.ndarray) -> np.ndarray:
    """Rotate each block by itself."""
    rng, result = np.random.default_rng(seed), vectors.copy()
    for block in BLOCKS:
        rotation, _ = np.linalg.qr(rng.normal(size=(block.width, block.width)))
        block.of(result)[:] = block.of(vectors) @ rotation
    return result


@given(seed=st.integers(0, 1000))
@settings(max_examples=10, deadline=None)
def test_a_turned_block_is_turned_back(seed: int) -> None:
    old = profiles(seed)
    new = turned(seed + 1, old)
    maps = fit_maps(new, old, BLOCKS, BLOCKS)
    assert [one.about.method for one in maps] == ["rotation", "rotation"]
    for one, block in zip(maps, BLOCKS, strict=True):
        assert one.about.explained == pytest.approx(1)
        np.testing.assert_allclose(transform(new, one.arrays), block.of(old), atol=1e-4)
        weights = one.weights[block.start : block.start + block.width]
        np.testing.assert_allclose(weights @ weights.T, np.eye(block.width), atol=1e-9)


def test_a_block_of_another_width_or_missing_is_read_from_the_whole_profile() -> None:
    old, rng = profiles(0), np.random.default_rng(1)
    new = (old @ rng.normal(size=(12, 20))).astype(np.float32)
    maps = fit_maps(new, old, [Columns("a", 0, 15), Columns("c", 15, 5)], BLOCKS)
    assert [one.about.method for one in maps] == ["ridge", "ridge"]
    for one, block in zip(maps, BLOCKS, strict=True):
        np.testing.assert_allclose(transform(new, one.arrays), block.of(old), atol=0.05)


def test_a_block_that_new_profiles_say_nothing_of_is_filled_with_the_mean() -> None:
    old, new = profiles(0), profiles(1)
    block_a = BLOCKS[0]
    block_a.of(new)[:] = block_a.of(old)
    kept, lost = fit_maps(new, old, BLOCKS, BLOCKS)
    assert kept.about.method == "rotation"
    assert (lost.about.method, lost.about.block) == ("filled", "b")
    assert lost.about.explained < 0.2
    expected = np.tile(BLOCKS[1].of(old).mean(axis=0), (400, 1))
    np.testing.assert_allclose(transform(new, lost.arrays), expected, atol=1e-6)


def test_a_row_does_not_depend_on_the_rows_beside_it() -> None:
    old = profiles(0, 3000)
    new = turned(2, old)
    for one in fit_maps(new, old, BLOCKS, BLOCKS):
        everybody = transform(new, one.arrays)
        for some in (slice(7, 8), slice(2, 2000, 3)):
            assert transform(new[some], one.arrays).tobytes() == everybody[some].tobytes()


def test_a_model_gets_nonsense_from_a_turned_space_and_its_own_from_an_aligned_one() -> None:
    old = profiles(0, 1500)
    new = turned(3, old)
    labels = old[:, 0] + 0.3 * profiles(4, 1500)[:, 0] > 0
    few = np.arange(1500) < 5

    def align(train: np.ndarray, test: np.ndarray) -> np.ndarray:
        maps = fit_maps(new[train], old[train], BLOCKS, BLOCKS)
        return np.concatenate([transform(new[test], one.arrays) for one in maps], axis=1)

    scores = head_scores(old, new, align, {"first": labels, "too few": few})
    assert [(one.task, one.head) for one in scores] == [
        ("first", "logistic regression"),
        ("first", "network"),
    ]
    for one in scores:
        assert one.old > 0.9
        assert one.raw < 0.8
        assert abs(one.gap) < 0.005
        assert one.recovered > 0.98

    def shuffled(train: np.ndarray, test: np.ndarray) -> np.ndarray:
        other = np.random.default_rng(0).permutation(train)
        maps = fit_maps(new[train], old[other], BLOCKS, BLOCKS)
        return np.concatenate([transform(new[test], one.arrays) for one in maps], axis=1)

    for one in head_scores(old, new, shuffled, {"first": labels}):
        assert one.aligned == pytest.approx(0.5, abs=0.05)
