"""Random draws: items by weight, sizes of groups, ids."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Weighted:
    """Items to draw by weight; the items of a group are adjacent.

    Parameters
    ----------
    first : ndarray of int64, shape (n_groups + 1,)
        Where each group begins.
    cumulative : ndarray of float64, shape (n_items + 1,)
        Sum of the weights before each item.
    """

    first: np.ndarray
    cumulative: np.ndarray

    @staticmethod
    def zipf(sizes: np.ndarray, exponent: float) -> "Weighted":
        """Weigh the items of every group ``1 / rank ** exponent``, in their order."""
        first = np.concatenate([[0], np.cumsum(sizes)])
        rank = np.arange(first[-1]) - np.repeat(first[:-1], sizes)
        return Weighted.of(first, (1.0 + rank) ** -exponent)

    @staticmethod
    def of(first: np.ndarray, weights: np.ndarray) -> "Weighted":
        """Use given weights, shape (n_items,)."""
        return Weighted(first, np.concatenate([[0.0], np.cumsum(weights)]))

    def draw(self, rng: np.random.Generator, groups: np.ndarray) -> np.ndarray:
        """Draw an item of each of the groups, any shape."""
        low, high = self.first[groups], self.first[groups + 1]
        weight = self.cumulative[low]
        weight = weight + rng.random(groups.shape) * (self.cumulative[high] - weight)
        # Searching in sorted order is several times as fast in a large catalogue (CPU cache).
        order = np.argsort(weight, axis=None)
        item = np.empty(weight.size, np.int64)
        item[order] = np.searchsorted(self.cumulative, weight.ravel()[order], side="right") - 1
        return np.clip(item.reshape(weight.shape), low, high - 1)


def draw_sizes(rng: np.random.Generator, total: int, weights: np.ndarray) -> np.ndarray:
    """Split a total into groups of at least one."""
    return 1 + rng.multinomial(total - len(weights), weights / weights.sum())


def draw_ids(rng: np.random.Generator, count: int) -> np.ndarray:
    """Draw distinct arbitrary numbers."""
    return rng.permutation(4 * count)[:count]
