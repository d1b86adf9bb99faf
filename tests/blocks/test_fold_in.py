import numpy as np
import pytest
from scipy import sparse
from scipy.optimize import minimize
from scipy.special import logsumexp

from ubp_platform.blocks.fold_in import fold_in

ITEMS, WIDTH = 60, 6


@pytest.fixture
def world() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    return {
        "items": rng.normal(size=(ITEMS, WIDTH)),
        "biases": rng.normal(size=ITEMS) / 2,
        "negatives": np.arange(0, ITEMS, 3),
    }


def some_clients(count: int) -> tuple[sparse.csr_matrix, np.ndarray]:
    rng = np.random.default_rng(1)
    weights = sparse.random(count, ITEMS, 0.1, "csr", rng=rng)
    weights.data = rng.choice([-0.5, 0.2, 0.7, 1.0, 2.4], weights.nnz, p=[0.1, 0.1, 0.5, 0.2, 0.1])
    return weights, rng.normal(size=(count, WIDTH)) / 3


def test_it_is_the_minimum(world: dict[str, np.ndarray]) -> None:
    weights, prior = some_clients(20)
    vectors = fold_in(weights, prior, **world, strength=2.0)
    y, b, negatives = world["items"], world["biases"], world["negatives"]
    for row, (w, q) in enumerate(zip(weights.toarray(), prior, strict=True)):
        like, dislike = np.maximum(w, 0), np.minimum(w, 0)

        def loss(u: np.ndarray, like=like, dislike=dislike, q=q) -> float:
            scores = y @ u
            contrast = like.sum() * logsumexp((scores + b)[negatives])
            below = dislike.sum() * scores.mean()
            return contrast - like @ scores - dislike @ scores + below + ((u - q) ** 2).sum()

        # Minimized by another method, from another start.
        best = minimize(loss, np.zeros(WIDTH), tol=1e-10).x
        np.testing.assert_allclose(vectors[row], best, atol=1e-4)


def test_without_items_the_prior_stays(world: dict[str, np.ndarray]) -> None:
    _, prior = some_clients(3)
    nothing = sparse.csr_matrix((3, ITEMS))
    np.testing.assert_array_equal(fold_in(nothing, prior, **world, strength=2.0), prior)


def test_the_prior_counts_less_the_more_a_client_did(world: dict[str, np.ndarray]) -> None:
    weights, prior = some_clients(50)
    weights = abs(weights)
    from_prior = [fold_in(c * weights, prior, **world, strength=2.0) - prior for c in (0.01, 1, 10)]
    distances = np.linalg.norm(from_prior, axis=2)
    assert (np.diff(distances, axis=0) > 0)[:, np.diff(weights.indptr) > 0].all()


def test_a_removed_item_falls_and_a_liked_one_rises(world: dict[str, np.ndarray]) -> None:
    weights = sparse.csr_matrix(([-0.5, 1.0], ([0, 1], [7, 8])), shape=(2, ITEMS))
    removed, liked = fold_in(weights, np.zeros((2, WIDTH)), **world, strength=2.0)
    items = world["items"]
    assert items[7] @ removed < (items @ removed).mean()
    assert items[8] @ liked > (items @ liked).mean()


def test_vectors_do_not_depend_on_other_clients_or_order(world: dict[str, np.ndarray]) -> None:
    weights, prior = some_clients(40)
    vectors = fold_in(weights, prior, **world, strength=2.0)
    order = np.random.default_rng(2).permutation(40)
    np.testing.assert_allclose(
        fold_in(weights[order], prior[order], **world, strength=2.0), vectors[order], rtol=1e-9
    )
    np.testing.assert_allclose(
        fold_in(weights[[5]], prior[[5]], **world, strength=2.0), vectors[[5]], rtol=1e-9
    )


def test_huge_weights_and_long_representations_stay_finite(world: dict[str, np.ndarray]) -> None:
    weights, prior = some_clients(40)
    world["items"] *= 100
    assert np.isfinite(fold_in(20_000 * abs(weights), prior, **world, strength=2.0)).all()


def test_identical_items_carry_no_information(world: dict[str, np.ndarray]) -> None:
    weights, prior = some_clients(5)
    world["items"][:] = 1
    vectors = fold_in(abs(weights), prior, **world, strength=2.0)
    np.testing.assert_allclose(vectors, prior, atol=1e-12)
