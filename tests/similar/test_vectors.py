"""The index of vectors: exact for few, close to exact for many, and nothing is found twice."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ubp_platform.similar import vectors as module
from ubp_platform.similar.vectors import VectorIndex, groups_of, unit


def clustered(count: int, width: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    middles = rng.normal(size=(20, width))
    found = middles[rng.integers(20, size=count)] + 0.4 * rng.normal(size=(count, width))
    return found.astype(np.float32)


def built(rows: np.ndarray, slots: np.ndarray | None = None) -> VectorIndex:
    index = VectorIndex.build(rows[: VectorIndex.sample_size(len(rows))], len(rows))
    index.add(np.arange(len(rows)) if slots is None else slots, rows)
    return index


def nearest(rows: np.ndarray, vector: np.ndarray, count: int) -> list[int]:
    cosines = unit(rows) @ unit(vector[None])[0]
    return list(map(int, np.argsort(-cosines, kind="stable")[:count]))


@settings(deadline=None, max_examples=25)
@given(
    count=st.integers(1, 60),
    width=st.integers(1, 40),
    asked=st.integers(1, 80),
    seed=st.integers(0, 1000),
)
def test_few_vectors_are_found_exactly(count: int, width: int, asked: int, seed: int) -> None:
    rows = np.random.default_rng(seed).normal(size=(count, width)).astype(np.float32)
    vector = rows[seed % count] + 0.1
    found = built(rows).search(vector, asked)
    assert len(found) == min(asked, count)
    cosines = unit(rows) @ unit(vector[None])[0]
    np.testing.assert_allclose(cosines[found], cosines[nearest(rows, vector, asked)], atol=1e-5)


def test_by_hand() -> None:
    rows = np.array([[1, 0], [0.6, 0.8], [0, 2], [-1, 0]], np.float32)
    index = built(rows, np.array([7, 3, 9, 5]))
    assert index.search(np.array([5, 0], np.float32), 3).tolist() == [7, 3, 9]


def test_lengths_do_not_matter_and_zeros_have_no_direction() -> None:
    rows = clustered(50, 8)
    scaled = rows * np.linspace(0.1, 90, 50, dtype=np.float32)[:, None]
    scaled[4] = 0
    index = built(scaled)
    assert len(index) == 49
    assert index.search(rows[10], 1).tolist() == [10]
    assert 4 not in index.search(rows[4], 50)


@pytest.fixture
def many(monkeypatch: pytest.MonkeyPatch) -> np.ndarray:
    """Vectors of an index that is approximate, though small."""
    monkeypatch.setattr(module, "EXACT", 500)
    monkeypatch.setattr(module, "_SAMPLED", 20)
    return clustered(4000, 50)


def test_of_many_vectors_nearly_all_are_found(many: np.ndarray) -> None:
    index = built(many)
    assert not index.is_exact
    hits = [
        len({*index.search(many[row], 30).tolist()} & {*nearest(many, many[row], 10)})
        for row in range(0, 4000, 100)
    ]
    assert np.mean(hits) > 9.5


@pytest.mark.parametrize("exact", [True, False])
def test_only_allowed_ones_are_found_however_few(
    many: np.ndarray, exact: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if exact:
        monkeypatch.setattr(module, "EXACT", 5000)
    index = built(many)
    assert index.is_exact == exact
    for every in (2, 50, 1999):
        allowed = np.zeros(4000, bool)
        allowed[::every] = True
        found = index.search(many[1], 10, allowed)
        assert allowed[found].all()
        assert len(found) == min(10, allowed.sum())
    assert not len(index.search(many[1], 10, np.zeros(4000, bool)))


def test_those_who_may_be_found_can_be_far_away(many: np.ndarray) -> None:
    index, cosines = built(many), unit(many) @ unit(many).T
    for client in range(0, 4000, 400):
        allowed = np.zeros(4000, bool)
        allowed[np.argsort(cosines[client])[:300]] = True  # the least similar ones
        found = index.search(many[client], 20, allowed)
        assert len(found) == 20
        best = np.sort(cosines[client][allowed])[-20]
        assert (cosines[client][found] >= best - 0.02).all()
        assert len(index.search(many[client], 3000)) == 3000


@pytest.mark.parametrize("exact", [True, False])
def test_rows_are_replaced_and_removed(
    many: np.ndarray, exact: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    if exact:
        monkeypatch.setattr(module, "EXACT", 5000)
    built(many).write(tmp_path / "a")
    index = VectorIndex.open(tmp_path / "a", shared=False)
    index.remove(np.array([1, 2, 5000]))
    index.add(np.array([2]), many[[100]])
    assert len(index) == 3999
    assert 1 not in index.search(many[1], 100)
    assert {*index.search(many[100], 2).tolist()} == {2, 100}
    index.write(tmp_path / "b")
    shared = VectorIndex.open(tmp_path / "b")
    assert shared.search(many[7], 20).tolist() == index.search(many[7], 20).tolist()


def test_a_removed_group_leaves_no_centre(many: np.ndarray) -> None:
    many[0] = 0
    many[0, 0] = 30  # alone in its group
    index = built(many)
    index.remove(np.array([0]))
    centres = index._index.quantizer.reconstruct_n(0, index._index.nlist)
    assert (centres @ np.pad(unit(many[:1])[0], (0, centres.shape[1] - 50))).max() < 0.99


def test_an_index_is_made_anew_when_there_are_far_more(many: np.ndarray) -> None:
    index = built(many)
    assert index.suits(4000)
    assert not index.suits(20_000)
    assert not index.suits(100)
    assert not built(many[:400]).suits(4000)


def test_the_same_vectors_give_the_same_file(many: np.ndarray, tmp_path: Path) -> None:
    for name in ("a", "b"):
        built(many).write(tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_groups_of_few_have_no_centre() -> None:
    rows = unit(np.concatenate([clustered(300, 8), 1000 * np.eye(1, 8, dtype=np.float32)]))
    for centre in groups_of(rows, 20, fewest=4):
        assert np.count_nonzero(unit(centre[None]) @ rows.T > 0.5) >= 4
