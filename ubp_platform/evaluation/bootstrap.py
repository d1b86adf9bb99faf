"""The paired bootstrap: how much scores and differences depend on the sample of clients.

A draw samples as many clients as there are, with replacement; a client's weight is the number of
times it was drawn. All tasks, representations and heads are scored on the same draws, so that what
two of them have in common cancels in their difference.
"""

from collections.abc import Iterator
from functools import cached_property

import numpy as np
import torch
from scipy.sparse import csr_array

from ubp_platform.evaluation.metrics import (
    NOVELTY_POWER,
    answerable,
    entropies,
    popularities,
    weighted,
)
from ubp_platform.evaluation.tasks import Task

DRAWS, SEED = 1000, 1278
# Number of float32 weights that are processed at once.
_CHUNK = 2**26


class Bootstrap:
    """Bootstrap draws of clients.

    Parameters
    ----------
    clients : int
        Number of listed clients.
    draws, seed : int
    """

    def __init__(self, clients: int, draws: int = DRAWS, seed: int = SEED) -> None:
        self.clients, self.draws, self.seed = clients, draws, seed

    @cached_property
    def weights(self) -> np.ndarray:
        """Number of times each client was drawn: uint8, shape (n_clients, n_draws)."""
        rng = np.random.default_rng(self.seed)
        weights = np.empty((self.clients, self.draws), np.uint8)
        for draw in range(self.draws):
            drawn = rng.integers(self.clients, size=self.clients)
            weights[:, draw] = np.bincount(drawn, minlength=self.clients)
        return weights

    def scores(
        self, task: Task, probabilities: np.ndarray, skip_undefined: bool = False
    ) -> np.ndarray:
        """Score predictions on every draw, as ``metrics.measure`` does.

        Parameters
        ----------
        task : Task
        probabilities : ndarray of float32, shape (n_rows, n_classes)
            In the order of the task's rows.
        skip_undefined : bool
            Whether a class with only one label in a draw is left out there; otherwise it counts as
            0.

        Returns
        -------
        ndarray of float32, shape (n_draws,)
        """
        scores = [
            _scores(task, probabilities, weights, skip_undefined)
            for weights in self._chunks(task.rows)
        ]
        return np.concatenate(scores).astype(np.float32)

    def _chunks(self, rows: np.ndarray) -> Iterator[np.ndarray]:
        """Yield some clients' weights: float32, shape (n_rows, some draws)."""
        draws = max(1, _CHUNK // len(rows))
        for first in range(0, self.draws, draws):
            yield self.weights[rows, first : first + draws].astype(np.float32)


def _scores(
    task: Task, probabilities: np.ndarray, weights: np.ndarray, skip_undefined: bool
) -> np.ndarray:
    total = weights.sum(axis=0, dtype=np.float64)
    areas, defined = np.zeros((2, weights.shape[1]))
    for column in np.flatnonzero(answerable(task.validation)):
        area, both = weighted_auroc(
            probabilities[:, column], task.validation[:, column], weights, total
        )
        areas += area
        defined += both
    if skip_undefined:
        auroc = np.divide(areas, defined, out=np.full_like(areas, 0.5), where=defined > 0)
    else:
        auroc = areas / task.validation.shape[1]
    if task.classes is None:
        return auroc

    predictions = torch.from_numpy(probabilities)

    def mean(values: np.ndarray) -> np.ndarray:
        summed = values @ weights.astype(np.float64)
        return np.divide(summed, total, out=np.zeros_like(summed), where=total > 0)

    popular = mean(popularities(predictions, task.classes.popularity).numpy())
    diversity = mean(entropies(predictions).numpy()) / np.log2(probabilities.shape[1])
    return weighted(auroc, (1 - popular) ** NOVELTY_POWER, diversity)


def weighted_auroc(
    predictions: np.ndarray, labels: np.ndarray, weights: np.ndarray, total: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Compute the exact AUROC of one class in each draw; ties count half.

    Parameters
    ----------
    predictions : ndarray of float32, shape (n_rows,)
    labels : ndarray of uint8, shape (n_rows,)
    weights : ndarray of float32, shape (n_rows, n_draws)
        Non-negative integers.
    total : ndarray of float64, shape (n_draws,)
        Their sums.

    Returns
    -------
    areas : ndarray of float64, shape (n_draws,)
        0 where undefined.
    defined : ndarray of bool, shape (n_draws,)
        Whether a draw has both labels.

    Examples
    --------
    >>> predictions, labels = np.array([0.9, 0.4, 0.4]), np.array([1, 0, 1])
    >>> weights = np.array([[1, 0], [1, 1], [1, 2]], np.float32)
    >>> weighted_auroc(predictions, labels, weights, weights.sum(axis=0))[0]
    array([0.75, 0.5 ])
    """
    order = np.argsort(predictions, kind="stable")
    positive, negative = order[labels[order] == 1], order[labels[order] == 0]
    # Positives with equal predictions form a group; negatives are summed between the groups.
    values, groups = np.unique(predictions[positive], return_index=True)
    sides = [np.searchsorted(predictions[negative], values, side) for side in ("left", "right")]
    edges = np.stack(sides, 1)
    counted = _sums(negative, edges.ravel(), weights).cumsum(axis=0, dtype=np.float64)
    below, not_above = counted[0::2], counted[1::2]
    groups = np.append(groups[1:], len(positive))
    weight = _sums(positive, groups, weights)
    pairs = np.einsum("gd,gd->d", weight, below + not_above, dtype=np.float64) / 2
    positives = weight.sum(axis=0, dtype=np.float64)
    possible = positives * (total - positives)
    areas = np.divide(pairs, possible, out=np.zeros_like(pairs), where=possible > 0)
    return areas, possible > 0


def _sums(rows: np.ndarray, ends: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Sum the weights of consecutive rows up to each end: (n_ends, n_draws).

    A product with a sparse matrix of ones is several times faster than ``np.add.reduceat``, and
    does not copy the weights.
    """
    bounds = np.append(0, ends)
    chosen = rows[: bounds[-1]]
    ones = np.ones(len(chosen), weights.dtype)
    matrix = csr_array((ones, chosen, bounds), shape=(len(ends), len(weights)))
    sums: np.ndarray = matrix @ weights
    return sums
