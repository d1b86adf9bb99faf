"""The head ``logistic``: logistic regression of all classes at once, with one L2 penalty.

scikit-learn's solver fits one class after the other; a hundred classes take it minutes.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from ubp_platform.blocks.training import device
from ubp_platform.evaluation.heads.base import (
    Advance,
    Labelled,
    Prediction,
    base_rates,
    inner_score,
)
from ubp_platform.evaluation.representations import Representation

#: Strengths of the L2 penalty that are tried, strongest first.
PENALTIES = (1.0, 1e-1, 1e-2, 1e-3, 1e-4)
_ITERATIONS, _GRADIENT, _CHANGE = 60, 1e-4, 1e-5
# Axes with a smaller share of the largest variance are noise of rounding.
_NEGLIGIBLE = 1e-6
# Vectors that are turned to the axes at once.
_AT_ONCE = 16_384


class Logistic:
    """Logistic regression; the loss is the sum over classes of mean cross-entropy + λ/2 ‖W‖².

    The input is centred and divided by one scale, the root of its columns' mean variance, never
    column by column: the scale of columns carries their weight, and λ means the same for every
    representation.
    """

    def __init__(self) -> None:
        self.parameters: list[Any] = [
            *("logistic", PENALTIES, _ITERATIONS, _GRADIENT, _CHANGE, _NEGLIGIBLE)
        ]

    def fit(
        self,
        representation: Representation,
        labelled: Labelled,
        asked: np.ndarray,
        seed: int,
        advance: Advance,
    ) -> Prediction:
        """Choose the penalty by the inner split, the stronger of equals; then fit on all."""
        step = 1 / (len(PENALTIES) + 1)
        fitted, held = labelled.split(seed)
        axes = _Axes.of(representation, fitted.rows)
        scores, held_vectors = [], axes.turn(representation, held.rows)
        vectors = axes.turn(representation, fitted.rows)
        for weights, bias in _path(vectors, fitted.labels, axes.variances, PENALTIES):
            said = (held_vectors @ weights + bias).sigmoid()
            scores.append(inner_score(said.cpu().numpy(), held.labels))
            advance(step)
        best = int(np.argmax(scores))
        axes = _Axes.of(representation, labelled.rows)
        vectors = axes.turn(representation, labelled.rows)
        chosen = PENALTIES[best : best + 1]
        ((weights, bias),) = _path(vectors, labelled.labels, axes.variances, chosen)
        del vectors, held_vectors
        answers = [
            (axes.turn(representation, rows) @ weights + bias).sigmoid().cpu()
            for rows in _slices(asked)
        ]
        advance(step)
        return Prediction(torch.cat(answers).numpy(), scores[best], f"penalty {PENALTIES[best]:g}")


@dataclass(frozen=True)
class _Axes:
    """The principal axes of some vectors, centred and brought to a mean variance of 1.

    A rotation changes neither loss nor penalty, but along these axes the loss is curved most
    differently and hardly at all between them: it can be brought to one curvature.

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
    def of(cls, representation: Representation, rows: np.ndarray) -> "_Axes":
        """Find the axes of some clients' vectors."""
        where, width = device(), representation.width
        total = torch.zeros(width, dtype=torch.float64, device=where)
        for some in _slices(rows):
            total += representation.batch(some).to(where).sum(dim=0, dtype=torch.float64)
        center = (total / len(rows)).float()
        squares = torch.zeros(width, width, device=where)
        for some in _slices(rows):
            centred = representation.batch(some).to(where) - center
            squares += centred.T @ centred
        variances, axes = torch.linalg.eigh(squares.double() / len(rows))
        kept = variances > _NEGLIGIBLE * variances.max()
        scale = variances.clamp(min=0).mean().sqrt()
        return cls(
            center,
            (axes[:, kept] / scale).float(),
            (variances[kept] / scale**2).float(),
        )

    def turn(self, representation: Representation, rows: np.ndarray) -> Tensor:
        """Give some clients' vectors along the axes: (n, n_axes)."""
        where = self.center.device
        return torch.cat(
            [
                (representation.batch(some).to(where) - self.center) @ self.rotation
                for some in _slices(rows)
            ]
        )


def _slices(rows: np.ndarray) -> list[np.ndarray]:
    return [rows[first : first + _AT_ONCE] for first in range(0, len(rows), _AT_ONCE)]


def _path(
    x: Tensor, labels: np.ndarray, variances: Tensor, penalties: tuple[float, ...]
) -> Iterator[tuple[Tensor, Tensor]]:
    """Fit with one penalty after the other, each from where the one before ended.

    Parameters
    ----------
    x : Tensor of float32, shape (n, n_axes)
    labels : ndarray of uint8, shape (n, n_classes)
    variances : Tensor of float32, shape (n_axes,)
    penalties : tuple of float

    Yields
    ------
    weights : Tensor of float32, shape (n_axes, n_classes)
    bias : Tensor of float32, shape (n_classes,)
    """
    y = torch.from_numpy(labels).to(x.device, torch.float32)
    rates = torch.from_numpy(base_rates(labels)).to(x.device, torch.float32)
    weights, bias = torch.zeros(x.shape[1], y.shape[1], device=x.device), rates.logit()
    # How the loss is curved at the base rate: along the axes as their variances are.
    curved = rates * (1 - rates)
    for penalty in penalties:
        weights, bias = _minimize(x, y, penalty, (weights, bias), (variances, curved))
        yield weights, bias


def _minimize(
    x: Tensor,
    y: Tensor,
    penalty: float,
    start: tuple[Tensor, Tensor],
    curvature: tuple[Tensor, Tensor],
) -> tuple[Tensor, Tensor]:
    """Minimize the loss by L-BFGS, in coordinates in which it is about as curved everywhere."""
    variances, curved = curvature
    stretch, bias_stretch = (variances[:, None] * curved + penalty).sqrt(), curved.sqrt()
    scaled = (start[0] * stretch).requires_grad_()
    scaled_bias = (start[1] * bias_stretch).requires_grad_()
    optimizer = torch.optim.LBFGS(
        [scaled, scaled_bias],
        max_iter=_ITERATIONS,
        tolerance_grad=_GRADIENT,
        tolerance_change=_CHANGE,
        line_search_fn="strong_wolfe",
    )

    def closure() -> Tensor:
        optimizer.zero_grad()
        weights = scaled / stretch
        logits = x @ weights + scaled_bias / bias_stretch
        loss = binary_cross_entropy_with_logits(logits, y, reduction="sum") / len(x)
        loss = loss + penalty / 2 * (weights * weights).sum()
        loss.backward()
        return loss

    optimizer.step(closure)
    return (scaled / stretch).detach(), (scaled_bias / bias_stretch).detach()
