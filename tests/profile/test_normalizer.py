import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.decomposition import PCA
from sklearn.preprocessing import QuantileTransformer

from ubp_platform.profile.normalizer import Normalizer


def vectors(clients: int, dim: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(clients, dim)).astype(np.float32)


def test_unit_length_by_hand() -> None:
    fitted = Normalizer.fit(np.array([[3, 4], [-1, 4], [1, 1]], np.float32), "unit")
    np.testing.assert_allclose(fitted.arrays["center"], [1, 3])
    scaled = fitted.transform(np.array([[4, 7], [1, 3], [1, 1]], np.float32))
    np.testing.assert_allclose(scaled, [[0.6, 0.8], [0, 0], [0, -1]], atol=1e-7)
    # Of (2, 1), (-2, 1) and (0, -2), each brought to unit length.
    np.testing.assert_allclose(fitted.mean, [0, (2 / np.sqrt(5) - 1) / 3], atol=1e-7)


def test_quantiles_by_hand() -> None:
    population = np.array([[0.0], [10.0], [20.0]], np.float32)
    fitted = Normalizer.fit(population, "quantile")
    scaled = fitted.transform(np.array([[-5], [0], [5], [15], [20], [99]], np.float32))
    np.testing.assert_allclose(scaled[:, 0], [-1, -1, -0.5, 0.5, 1, 1], atol=1e-6)
    np.testing.assert_allclose(fitted.mean, [0])


def test_many_equal_values_are_centred_by_their_mean() -> None:
    population = np.array([[0.0], [0.0], [0.0], [8.0]], np.float32)
    fitted = Normalizer.fit(population, "quantile")
    np.testing.assert_allclose(fitted.transform(population)[:, 0], [-0.5] * 3 + [1.5], atol=1e-6)


def test_profiles_of_earlier_releases_keep_their_numbers() -> None:
    X = np.array([[3, 4], [0, 2]], np.float32)
    mean = np.zeros(2, np.float32)
    np.testing.assert_allclose(
        Normalizer("unit", {"mean": mean}).transform(X), [[0.6, 0.8], [0, 1]], atol=1e-7
    )
    old = Normalizer("quantile", {"quantiles": np.array([[0.0], [4.0]]), "mean": mean[:1]})
    np.testing.assert_allclose(old.transform(X[:, :1])[:, 0], [0.75, 0])


def test_agrees_with_scikit_learn() -> None:
    X, new = vectors(500, 12), vectors(50, 12, seed=1)
    reduced = PCA(4, svd_solver="covariance_eigh").fit(X.astype(np.float64)).transform(new)
    expected = reduced / np.linalg.norm(reduced, axis=1, keepdims=True)
    np.testing.assert_allclose(
        Normalizer.fit(X, "unit", 4).transform(new), expected, atol=1e-5, rtol=1e-4
    )
    quantiles = QuantileTransformer(n_quantiles=500, subsample=None).fit(X.astype(np.float64))
    np.testing.assert_allclose(
        Normalizer.fit(X, "quantile").transform(new),
        2 * (quantiles.transform(new) - quantiles.transform(X).mean(axis=0)),
        atol=1e-6,
    )


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_quantiles_are_bit_equal_to_scikit_learn(data: st.DataObject) -> None:
    # Few distinct numbers repeat, as counts do; the others are arbitrary.
    numbers = st.one_of(st.sampled_from([0, 1, 2, -0.0]), st.floats(-1e6, 1e6, width=32))
    dim = data.draw(st.integers(1, 4))
    X, new = (
        data.draw(arrays(np.float32, st.tuples(st.integers(1, 40), st.just(dim)), elements=numbers))
        for _ in range(2)
    )
    theirs = QuantileTransformer(n_quantiles=len(X), subsample=None).fit(X.astype(np.float64))
    fitted = Normalizer.fit(X, "quantile")
    assert fitted.arrays["quantiles"].tobytes() == theirs.quantiles_.tobytes()
    # As a profile of the first release: no center, no spread.
    old = Normalizer("quantile", {"quantiles": theirs.quantiles_, "mean": fitted.mean})
    for values in (X, new):
        assert old.transform(values).tobytes() == theirs.transform(values).tobytes()


@pytest.mark.parametrize(
    ("clients", "dim", "width"), [(500, 128, 64), (500, 16, 16), (10, 128, 10)]
)
def test_components_as_far_as_clients_and_dimensions_allow(
    clients: int, dim: int, width: int
) -> None:
    fitted = Normalizer.fit(vectors(clients, dim), "unit", 64)
    assert fitted.width == width
    assert fitted.transform(vectors(3, dim)).shape == (3, width)


@settings(max_examples=40, deadline=None)
@given(
    arrays(np.float32, st.tuples(st.integers(1, 30), st.integers(1, 5)),
           elements=st.floats(-1e6, 1e6, width=32)),
    st.sampled_from([("unit", None), ("unit", 3), ("quantile", None)]),
)  # fmt: skip
def test_always_finite_float32_and_within_bounds(X: np.ndarray, how: tuple) -> None:
    fitted = Normalizer.fit(X, *how)
    scaled = fitted.transform(X)
    assert scaled.dtype == np.float32
    assert np.isfinite(scaled).all()
    if how[0] == "quantile":
        assert np.abs(scaled.mean(axis=0)).max() < 1e-5
        assert (scaled.max(axis=0) - scaled.min(axis=0)).max() <= 2 + 1e-6
    else:
        assert np.linalg.norm(scaled, axis=1).max() <= 1 + 1e-5


def test_a_saved_normalizer_returns_equal_bits() -> None:
    X = vectors(200, 8)
    for how in (("unit", 4), ("unit", None), ("quantile", None)):
        fitted = Normalizer.fit(X, *how)
        again = Normalizer(fitted.kind, {k: v.copy() for k, v in fitted.arrays.items()})
        assert fitted.transform(X).tobytes() == again.transform(X).tobytes()


def test_counts_become_logarithms_of_deviation_03_by_hand() -> None:
    population = np.array([[0, 5], [np.e**2 - 1, 5]], np.float32)
    fitted = Normalizer.fit(population, "log")
    # Logarithms 0 and 2: mean 1, deviation 1. A constant column is 0.
    np.testing.assert_allclose(fitted.transform(population), [[-0.3, 0], [0.3, 0]], atol=1e-6)
    far = np.array([[1e30, 5], [1 - np.e**2, 5]], np.float32)
    np.testing.assert_allclose(fitted.transform(far), [[1.8, 0], [-0.9, 0]], atol=1e-6)


def test_standard_columns_have_deviation_1_and_are_clipped() -> None:
    fitted = Normalizer.fit(np.array([[1], [3]], np.float32), "standard")
    scaled = fitted.transform(np.array([[1], [3], [4], [99]], np.float32))
    np.testing.assert_allclose(scaled[:, 0], [-1, 1, 2, 6])
    np.testing.assert_allclose(fitted.mean, [0], atol=1e-7)


def test_centred_columns_keep_their_scale_and_are_clipped() -> None:
    fitted = Normalizer.fit(np.array([[0, 0.1], [4, 0.3]], np.float32), "centred")
    scaled = fitted.transform(np.array([[0, 0.1], [4, 0.3], [99, 0.2]], np.float32))
    np.testing.assert_allclose(scaled, [[-2, -0.1], [2, 0.1], [6, 0]], atol=1e-6)
    np.testing.assert_allclose(fitted.mean, [0, 0], atol=1e-7)
