"""Bringing each block to a common scale (paper, section 3.3).

``unit``, for learned blocks: subtract the population's mean, optionally apply PCA, scale to unit
length. ``quantile``, for handcrafted features: the quantiles of the fitted population, so that each
feature is uniform, less their mean. ``standard``: subtract the mean, divide by the standard
deviation. ``log``: the same for logarithms of counts, but smaller. ``centred``: subtract the mean
only, for numbers whose scale shows how informative they are. Normalizers are fitted once per
profile version, then saved.

The scale of a block's columns is its weight in a model fitted on few labels: a penalty on the
weights makes such a model prefer large columns. So the most informative columns are the largest.

The paper subtracts no mean. What all clients have in common says nothing about any of them, but
would make up most of a vector's length; ``docs/notes/results-paper.md`` has the figures.
"""

from dataclasses import dataclass
from typing import Self

import numpy as np

from ubp_platform.blocks.base import Normalization

#: Raised with each change that gives other numbers; existing versions keep theirs.
REVISION = 2
# Clients to fit on: quantiles and principal axes do not improve with more, and memory would grow.
FIT_CLIENTS = 200_000
_QUANTILES = 1000
# Length of the interval of a handcrafted feature: with 2 a network learns more from these features
# than with 1, and 4 adds nothing (docs/notes/results-paper.md).
_SPREAD = 2
# The standard deviation of a counter; a `standard` column has 1, a `unit` column about 1/8.
_LOG_DEVIATION = 0.3
# Values are clipped at this many standard deviations from the mean.
_MAX_DEVIATIONS = 6
# A smaller standard deviation comes from rounding.
_MIN_DEVIATION = 1e-6


@dataclass(frozen=True)
class Normalizer:
    """A fitted map from a block's vectors to its part of the profile.

    Parameters
    ----------
    kind : {"unit", "quantile", "log", "standard", "centred"}
    arrays : dict of str to ndarray
        ``center`` (dim,), to subtract, and ``axes`` (width, dim) of the PCA; or ``quantiles``
        (n, dim), their ``center`` and ``spread`` (1,); or ``center`` and ``scale`` (dim,), to
        divide by. Also ``mean`` (width,) of the normalized vectors, which stands in for clients
        without the block. Profiles of earlier releases have no ``center`` where there are no
        ``axes``, and no ``spread``.
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
            An even sample of :data:`FIT_CLIENTS` clients, if there are more.
        kind : {"unit", "quantile", "log", "standard", "centred"}
        components : int, optional
            Principal components to keep, as far as clients and dimensions allow; all by default.
        """
        population = vectors.astype(np.float64)
        arrays: dict[str, np.ndarray] = {}
        if kind == "quantile":
            references = np.linspace(0, 1, min(_QUANTILES, len(population)))
            quantiles = np.percentile(population, references * 100, axis=0)
            arrays["quantiles"] = quantiles
            arrays["center"] = _ranks(population, quantiles).mean(axis=0).astype(np.float32)
            arrays["spread"] = np.full(1, _SPREAD, np.float32)
        elif kind == "centred":
            arrays["center"] = population.mean(axis=0).astype(np.float32)
            arrays["scale"] = np.ones(population.shape[1], np.float32)
        elif kind in ("log", "standard"):
            values = _logarithm(population) if kind == "log" else population
            deviation = values.std(axis=0) / (_LOG_DEVIATION if kind == "log" else 1)
            arrays["center"] = values.mean(axis=0).astype(np.float32)
            # A constant column has no deviation to divide by.
            arrays["scale"] = np.where(deviation > _MIN_DEVIATION, deviation, 1).astype(np.float32)
        elif components is None:
            arrays["center"] = population.mean(axis=0).astype(np.float32)
        else:
            # Imported here: reading profiles needs their mean only, and no scikit-learn.
            from sklearn.decomposition import PCA

            kept = min(components, *population.shape)
            # The variance of one client is undefined, that of two equal ones is zero.
            several = np.repeat(population, 2, axis=0) if len(population) == 1 else population
            # Equal clients have no variance to divide by.
            with np.errstate(invalid="ignore"):
                pca = PCA(n_components=kept, svd_solver="covariance_eigh").fit(several)
            arrays["center"] = pca.mean_.astype(np.float32)
            # In double precision, so that a row does not depend on the rows beside it.
            arrays["axes"] = pca.components_.astype(np.float64)
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
            result = _ranks(vectors, self.arrays["quantiles"])
        elif self.kind == "log":
            result = _logarithm(vectors)
        result = result.astype(np.float32)
        if "center" in self.arrays:
            result -= self.arrays["center"]
        if self.kind == "quantile":
            return result * self.arrays.get("spread", np.float32(1))
        if "scale" in self.arrays:
            bound = _MAX_DEVIATIONS * (_LOG_DEVIATION if self.kind == "log" else 1)
            return np.clip(result / self.arrays["scale"], -bound, bound)
        if "axes" in self.arrays:
            result = (result @ self.arrays["axes"].T).astype(np.float32)
        length = np.linalg.norm(result, axis=1, keepdims=True)
        return np.divide(result, length, out=np.zeros_like(result), where=length > 0)


def _logarithm(values: np.ndarray) -> np.ndarray:
    """log(1 + x) of counts; values below 0 keep their sign."""
    return np.sign(values) * np.log1p(np.abs(values))


def _ranks(values: np.ndarray, quantiles: np.ndarray) -> np.ndarray:
    """Share of the population below each value, as scikit-learn's QuantileTransformer has it."""
    references = np.linspace(0, 1, len(quantiles))
    ranks = np.empty(values.shape)
    for column, rank, steps in zip(values.T, ranks.T, quantiles.T, strict=True):
        # Interpolated upwards and downwards: a value that fills several quantiles gets their mean.
        upwards = np.interp(column, steps, references)
        downwards = -np.interp(-column, -steps[::-1], -references[::-1])
        rank[:] = 0.5 * (upwards + downwards)
        rank[column == steps[-1]] = 1
        rank[column == steps[0]] = 0
    return ranks
