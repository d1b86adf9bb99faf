"""A map of all clients: positions in the plane, similar clients close together.

The centres of some hundred groups of clients are laid out once for a version (t-SNE); every client
lies between the nearest of them. So a client who changes moves, and the map stays.
"""

from pathlib import Path

import numpy as np
from safetensors.numpy import load_file, save_file

from ubp_platform.similar.vectors import groups_of, unit

#: Centres of a map, and clients from whom they are found.
_CENTRES, SAMPLE = 1000, 50_000
_NEAREST, _FEWEST = 5, 4
# How much less a centre weighs that is farther than the nearest one, and how far a client may lie
# beside its place, in distances between neighbouring centres.
_SHARPNESS, _SPREAD = 40.0, 0.5
_ROWS = 8192
# Quantiles that are kept, the lowest and highest not: they would be of single clients.
_LEVELS = 19


class Plane:
    """Where clients lie.

    Parameters
    ----------
    centres : ndarray of float32, shape (n_centres, width)
        Unit vectors.
    points : ndarray of float32, shape (n_centres, 2)
        From 0 to 1.
    scale : ndarray of float32, shape (n_levels, width)
        Quantiles of each number of a profile over all clients, ascending.
    """

    def __init__(self, centres: np.ndarray, points: np.ndarray, scale: np.ndarray) -> None:
        self._centres, self._points, self.scale = centres, points, scale
        self._gap = _gap(points)

    @classmethod
    def fit(cls, sample: np.ndarray, seed: int = 0) -> "Plane":
        """Lay out the groups of some clients, float32 of shape (n, width)."""
        from ubp_platform.report.drawing import plane

        width = sample.shape[1]
        scale = np.zeros((_LEVELS, width), np.float32)
        if len(sample):
            scale = np.quantile(sample, np.linspace(0.05, 0.95, _LEVELS), axis=0).astype(np.float32)
        rows = unit(sample)
        rows = rows[rows.any(axis=1)]
        count = min(_CENTRES, len(rows) // 8)
        centres = unit(groups_of(rows, count, _FEWEST)) if count >= _NEAREST else rows[:0]
        if len(centres) < _NEAREST:
            middle = np.full((1, 2), 0.5, np.float32)
            return cls(np.eye(1, width, dtype=np.float32), middle, scale)
        points = plane(centres, seed)
        low, high = points.min(axis=0), points.max(axis=0)
        points = ((points - low) / np.maximum(high - low, 1e-6)).astype(np.float32)
        return cls(centres, points, scale)

    @classmethod
    def open(cls, path: Path) -> "Plane":
        """Read a file that :meth:`write` wrote; its hash must have been checked."""
        arrays = load_file(path)
        return cls(arrays["centres"], arrays["points"], arrays["scale"])

    def write(self, path: Path) -> None:
        """Write the centres and where they lie."""
        arrays = {"centres": self._centres, "points": self._points, "scale": self.scale}
        save_file(arrays, path)

    def place(self, keys: np.ndarray, vectors: np.ndarray) -> np.ndarray:
        """Place clients.

        Parameters
        ----------
        keys : ndarray of int64, shape (n,)
            Each moves its client aside by a little, always the same.
        vectors : ndarray of float32, shape (n, width)

        Returns
        -------
        ndarray of float32, shape (n, 2)
        """
        found = np.empty((len(vectors), 2), np.float32)
        nearest = min(_NEAREST, len(self._points))
        for start in range(0, len(vectors), _ROWS):
            rows = unit(vectors[start : start + _ROWS]) @ self._centres.T
            chosen = np.argpartition(rows, -nearest, axis=1)[:, -nearest:]
            scores = np.take_along_axis(rows, chosen, axis=1)
            weights = np.exp(_SHARPNESS * (scores - scores.max(axis=1, keepdims=True)))
            weights /= weights.sum(axis=1, keepdims=True)
            found[start : start + _ROWS] = np.einsum("nk,nkd->nd", weights, self._points[chosen])
        return found + self._gap * _SPREAD * _aside(keys)


def _aside(keys: np.ndarray) -> np.ndarray:
    """Return directions that depend on the keys alone, about of length 1: float32 (n, 2)."""
    mixed = keys.astype(np.uint64)
    parts = []
    for factor in (0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F):
        state = mixed * np.uint64(factor)
        state ^= state >> np.uint64(29)
        state *= np.uint64(0xBF58476D1CE4E5B9)
        parts.append((state >> np.uint64(11)).astype(np.float64) / 2**53)
    radius, angle = np.sqrt(-np.log(np.maximum(parts[0], 1e-9)) / 2), 2 * np.pi * parts[1]
    return np.stack([radius * np.cos(angle), radius * np.sin(angle)], 1).astype(np.float32)


def _gap(points: np.ndarray) -> float:
    """Return the distance from a point to the next one, of most points."""
    if len(points) < 2:
        return 0.1
    distances = np.linalg.norm(points[:, None] - points[None], axis=2)
    np.fill_diagonal(distances, np.inf)
    return float(np.median(distances.min(axis=1)))
