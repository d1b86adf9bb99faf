"""Bringing each block to one scale (paper, section 3.3).

Learned blocks: less the population's mean, then optional PCA, then unit length. Handcrafted
features: quantiles of the fitted population, so that each is uniform, less their mean. Fitted once
for a profile version, then saved.

The paper takes no mean away. What all clients have in common says nothing about one, but would take
most of a vector's length; ``docs/evaluation.md`` has the figures.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Self

import numpy as np

if TYPE_CHECKING:
    from sklearn.preprocessing import QuantileTransformer

#: Raised with each change that gives other numbers; versions that are there keep theirs.
REVISION = 2
# Clients to fit on: quantiles and principal axes do not gain from more, memory would grow.
FIT_CLIENTS = 200_000
_QUANTILES = 1000
# A handcrafted feature takes an interval of this length: with 2 a network learns more from them
# than with 1, and 4 adds nothing (docs/evaluation.md).
_SPREAD = 2


@dataclass(frozen=True)
class Normalizer:
    """A fitted map from a block's vectors to its part of the profile.

    Parameters
    ----------
    kind : {"unit", "quantile"}
    arrays : dict of str to ndarray
        ``center`` (dim,), which is taken away, and ``axes`` (width, dim) of the PCA; or
        ``quantiles`` (n, dim), the ``center`` of these and their ``spread`` (1,); and ``mean``
        (width,) of the normalized vectors, which stands in for clients without the block. Profiles
        of earlier releases have no ``center`` where there are no ``axes``, and no ``spread``.
    """

    kind: Literal["unit", "quantile"]
    arrays: dict[str, np.ndarray]

    @property
    def mean(self) -> np.ndarray:
        """The mean of the fitted population, float32, shape (width,)."""
        return self.arrays["mean"]

    @property
    def width(self) -> int:
        """Numbers in the profile."""
        return len(self.mean)

    @classmethod
    def fit(
        cls, vectors: np.ndarray, kind: Literal["unit", "quantile"], components: int | None = None
    ) -> Self:
        """Fit on a population.

        Parameters
        ----------
        vectors : ndarray of float32, shape (n_clients, dim)
            Of :data:`FIT_CLIENTS` clients, evenly chosen, if there are more.
        kind : {"unit", "quantile"}
        components : int, optional
            Principal components to keep, as far as clients and dimensions allow; all by default.
        """
        # Not at the top: who reads profiles needs their mean alone, and no scikit-learn.
        from sklearn.decomposition import PCA
        from sklearn.preprocessing import QuantileTransformer

        population = vectors.astype(np.float64)
        arrays: dict[str, np.ndarray] = {}
        if kind == "quantile":
            count = min(_QUANTILES, len(population))
            transformer = QuantileTransformer(n_quantiles=count, subsample=None).fit(population)
            arrays["quantiles"] = transformer.quantiles_
            arrays["center"] = transformer.transform(population).mean(axis=0).astype(np.float32)
            arrays["spread"] = np.full(1, _SPREAD, np.float32)
        elif components is None:
            arrays["center"] = population.mean(axis=0).astype(np.float32)
        else:
            kept = min(components, *population.shape)
            # One client has no variance, but two of it have: none.
            several = np.repeat(population, 2, axis=0) if len(population) == 1 else population
            # Of clients all alike there is no variance to divide by.
            with np.errstate(invalid="ignore"):
                pca = PCA(n_components=kept, svd_solver="covariance_eigh").fit(several)
            arrays["center"] = pca.mean_.astype(np.float32)
            arrays["axes"] = pca.components_.astype(np.float32)
        scaled = cls(kind, arrays).transform(population)
        arrays["mean"] = scaled.mean(axis=0, dtype=np.float64).astype(np.float32)
        return cls(kind, arrays)

    def transform(self, vectors: np.ndarray) -> np.ndarray:
        """Normalize.

        Parameters
        ----------
        vectors : ndarray, shape (n_clients, dim)

        Returns
        -------
        ndarray of float32, shape (n_clients, width)
        """
        result = vectors
        if self.kind == "quantile":
            result = _restored(self.arrays["quantiles"]).transform(vectors)
        result = result.astype(np.float32)
        if "center" in self.arrays:
            result -= self.arrays["center"]
        if self.kind == "quantile":
            return result * self.arrays.get("spread", np.float32(1))
        if "axes" in self.arrays:
            result = result @ self.arrays["axes"].T
        length = np.linalg.norm(result, axis=1, keepdims=True)
        return np.divide(result, length, out=np.zeros_like(result), where=length > 0)


def _restored(quantiles: np.ndarray) -> "QuantileTransformer":
    """Rebuild scikit-learn's transformer from its fitted arrays."""
    from sklearn.preprocessing import QuantileTransformer

    count, dim = quantiles.shape
    transformer = QuantileTransformer(n_quantiles=count)
    transformer.n_quantiles_ = count
    transformer.n_features_in_ = dim
    transformer.quantiles_ = quantiles
    transformer.references_ = np.linspace(0, 1, count, endpoint=True)
    return transformer
