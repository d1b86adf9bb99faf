"""Bringing each block to one scale (paper, section 3.3).

``unit``, of learned blocks: less the population's mean, then optional PCA, then unit length.
``quantile``, of handcrafted features: quantiles of the fitted population, so that each is uniform,
less their mean. ``standard``: less the mean, over the deviation. ``log``: logarithms of counts,
then the same, but smaller. ``centred``: less the mean alone, of numbers whose scale says how much
they tell. Fitted once for a profile version, then saved.

How large the columns of a block are is how much they weigh for a model that is fitted on few
labels: a penalty on its weights makes it look at large columns first. So what says most is largest.

The paper takes no mean away. What all clients have in common says nothing about one, but would take
most of a vector's length; ``docs/notes/results-paper.md`` has the figures.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import numpy as np

from ubp_platform.blocks.base import Normalization

if TYPE_CHECKING:
    from sklearn.preprocessing import QuantileTransformer

#: Raised with each change that gives other numbers; versions that are there keep theirs.
REVISION = 2
# Clients to fit on: quantiles and principal axes do not gain from more, memory would grow.
FIT_CLIENTS = 200_000
_QUANTILES = 1000
# A handcrafted feature takes an interval of this length: with 2 a network learns more from them
# than with 1, and 4 adds nothing (docs/notes/results-paper.md).
_SPREAD = 2
# The deviation of a counter; that of a `standard` column is 1, of a `unit` one about 1/8.
_LOG_DEVIATION = 0.3
# No value lies further from the mean than so many deviations.
_FAR = 6
# A deviation below it is one of rounding.
_NOTHING = 1e-6


@dataclass(frozen=True)
class Normalizer:
    """A fitted map from a block's vectors to its part of the profile.

    Parameters
    ----------
    kind : {"unit", "quantile", "log", "standard", "centred"}
    arrays : dict of str to ndarray
        ``center`` (dim,), which is taken away, and ``axes`` (width, dim) of the PCA; or
        ``quantiles`` (n, dim), the ``center`` of these and their ``spread`` (1,); or ``center``
        and ``scale`` (dim,), by which is divided; and ``mean`` (width,) of the normalized vectors,
        which stands in for clients without the block. Profiles of earlier releases have no
        ``center`` where there are no ``axes``, and no ``spread``.
    """

    kind: Normalization
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
    def fit(cls, vectors: np.ndarray, kind: Normalization, components: int | None = None) -> Self:
        """Fit on a population.

        Parameters
        ----------
        vectors : ndarray of float32, shape (n_clients, dim)
            Of :data:`FIT_CLIENTS` clients, evenly chosen, if there are more.
        kind : {"unit", "quantile", "log", "standard", "centred"}
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
        elif kind == "centred":
            arrays["center"] = population.mean(axis=0).astype(np.float32)
            arrays["scale"] = np.ones(population.shape[1], np.float32)
        elif kind in ("log", "standard"):
            values = _logarithm(population) if kind == "log" else population
            deviation = values.std(axis=0) / (_LOG_DEVIATION if kind == "log" else 1)
            arrays["center"] = values.mean(axis=0).astype(np.float32)
            # Of a column that is always the same there is no deviation to divide by.
            arrays["scale"] = np.where(deviation > _NOTHING, deviation, 1).astype(np.float32)
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
        elif self.kind == "log":
            result = _logarithm(vectors)
        result = result.astype(np.float32)
        if "center" in self.arrays:
            result -= self.arrays["center"]
        if self.kind == "quantile":
            return result * self.arrays.get("spread", np.float32(1))
        if "scale" in self.arrays:
            far = _FAR * (_LOG_DEVIATION if self.kind == "log" else 1)
            return np.clip(result / self.arrays["scale"], -far, far)
        if "axes" in self.arrays:
            result = result @ self.arrays["axes"].T
        length = np.linalg.norm(result, axis=1, keepdims=True)
        return np.divide(result, length, out=np.zeros_like(result), where=length > 0)


def _logarithm(values: np.ndarray) -> np.ndarray:
    """log(1 + x) of counts; of a value below 0 the same with its sign."""
    return np.sign(values) * np.log1p(np.abs(values))


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
