"""Principal axes of a representation's vectors, on which L-BFGS converges quickly."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ubp_platform.blocks.torch_runtime import device
from ubp_platform.evaluation.representations import Representation

#: Axes with a smaller share of the largest variance are rounding noise and are dropped.
NEGLIGIBLE = 1e-6
# Vectors that are projected at once.
_CHUNK = 16_384


@dataclass(frozen=True)
class PrincipalAxes:
    """The principal axes of some vectors, centred and scaled to a mean variance of 1.

    A rotation changes neither the loss nor the penalty, but it nearly diagonalizes the curvature of
    the loss, so that one scale per axis makes the curvature uniform.

    Parameters
    ----------
    center : Tensor of float32, shape (width,)
    rotation : Tensor of float32, shape (width, n_axes)
        Divided by the scale.
    variances : Tensor of float32, shape (n_axes,)
    """

    center: Tensor
    rotation: Tensor
    variances: Tensor

    @classmethod
    def of(cls, representation: Representation, rows: np.ndarray) -> "PrincipalAxes":
        """Compute the axes of some clients' vectors."""
        where, width = device(), representation.width
        total = torch.zeros(width, dtype=torch.float64, device=where)
        for some in chunks(rows):
            total += representation.batch(some).to(where).sum(dim=0, dtype=torch.float64)
        center = (total / len(rows)).float()
        squares = torch.zeros(width, width, device=where)
        for some in chunks(rows):
            centred = representation.batch(some).to(where) - center
            squares += centred.T @ centred
        variances, axes = torch.linalg.eigh(squares.double() / len(rows))
        kept = variances > NEGLIGIBLE * variances.max()
        scale = variances.clamp(min=0).mean().sqrt()
        return cls(center, (axes[:, kept] / scale).float(), (variances[kept] / scale**2).float())

    def project(self, representation: Representation, rows: np.ndarray) -> Tensor:
        """Return some clients' coordinates on the axes: (n, n_axes)."""
        where = self.center.device
        projected = [
            (representation.batch(some).to(where) - self.center) @ self.rotation
            for some in chunks(rows)
        ]
        return torch.cat(projected)


def chunks(rows: np.ndarray) -> list[np.ndarray]:
    """Divide rows into chunks that are projected at once."""
    return [rows[first : first + _CHUNK] for first in range(0, len(rows), _CHUNK)]
