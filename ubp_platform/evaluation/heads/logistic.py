"""The head ``logistic``: logistic regression of all classes at once, near what they have in common.

Most products are bought by a handful of clients. What tells who buys anything is learned from all
classes together, and each departs from it as far as its own labels carry it: mean-regularized
multi-task learning (Evgeniou and Pontil, 2004). With one class it is plain logistic regression.
scikit-learn's solver fits one class after the other; a hundred classes take it minutes.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from ubp_platform.blocks.torch_runtime import device
from ubp_platform.evaluation.heads.base import (
    Advance,
    Labelled,
    Prediction,
    base_rates,
    inner_score,
)
from ubp_platform.evaluation.representations import Representation

#: Strengths of the L2 penalty that are tried, strongest first: of the weights that all classes have
#: in common, and of those of each class; an infinite one leaves none.
SHARED = (100.0, 10.0, 1.0, 1e-1, 1e-2, 1e-3, 1e-4)
OWN = (math.inf, 10.0, 1.0, 1e-1, 1e-2, 1e-3, 1e-4)
#: A fifth of so many labelled clients, or of fewer, is too few to choose by: each is held out once.
FEW = 6_000
ITERATIONS, _GRADIENT, _CHANGE = 60, 1e-4, 1e-5
# Axes with a smaller share of the largest variance are noise of rounding.
_NEGLIGIBLE = 1e-6
# Vectors that are turned to the axes at once.
_AT_ONCE = 16_384


class Logistic:
    """Logistic regression; a class has the weights of all classes, s, and its own, v, beside them.

    First s and the biases are fitted, by the sum over classes of mean cross-entropy + λ/2 ‖s‖².
    Then all v and the biases, s as it is, by the same sum + μ/2 Σ ‖v‖². λ, and μ after it, is the
    strongest whose cross-entropy on clients held out is within one standard error of the least;
    where it has risen by more than one, weaker ones are not tried.

    The input is centred and divided by one scale, the root of its columns' mean variance, never
    column by column: the scale of columns carries their weight, and a penalty means the same for
    every representation.
    """

    def __init__(self) -> None:
        strengths = [str(penalty) for penalty in (*SHARED, *OWN)]
        numbers = [FEW, ITERATIONS, _GRADIENT, _CHANGE, _NEGLIGIBLE]
        self.parameters: list[Any] = ["logistic", "one standard error", strengths, *numbers]

    def fit(
        self,
        representation: Representation,
        labelled: Labelled,
        asked: np.ndarray,
        seed: int,
        advance: Advance,
    ) -> Prediction:
        """Choose the penalties by clients held out; then fit on all."""
        count = None if len(labelled.rows) <= FEW else 1
        folds = [
            _Fold.of(representation, fitted, held)
            for fitted, held in islice(labelled.folds(seed), count)
        ]
        stages = 1 + (labelled.labels.shape[1] > 1)
        # Of each stage a share, and one of the last fit.
        step = 1 / (stages + 1)
        inner, penalties = _search(folds, stages, lambda amount: advance(step * amount))
        del folds
        whole = _Part.of(representation, labelled)
        (line,) = whole.path(penalties[:1])
        if stages > 1:
            (line,) = whole.path(penalties[1:], beside=line)
        answers = [
            line.logits(whole.axes.turn(representation, rows)).sigmoid().cpu()
            for rows in _slices(asked)
        ]
        advance(step)
        told = " and ".join(f"{penalty:g}" for penalty in penalties)
        return Prediction(torch.cat(answers).numpy(), inner, f"penalty {told}")


def _search(folds: "list[_Fold]", stages: int, advance: Advance) -> tuple[float, tuple[float, ...]]:
    """Choose one penalty after the other; give the inner score of the first fold, and them."""
    best: list[_Line | None] = [None] * len(folds)
    penalties = []
    for strengths in (SHARED, OWN)[:stages]:
        paths = [
            fold.fitted.path(strengths, beside) for fold, beside in zip(folds, best, strict=True)
        ]
        lines, losses, done = [], [], 0.0
        for every in zip(*paths, strict=True):
            lines.append(every)
            losses.append(
                torch.cat([fold.losses(line) for fold, line in zip(folds, every, strict=True)])
            )
            advance(1 / len(strengths))
            done += 1 / len(strengths)
            if _rises(losses):
                break
        advance(1 - done)
        chosen = _strongest(torch.stack(losses))
        best = [*lines[chosen]]
        penalties.append(strengths[chosen])
    said = lines[chosen][0].logits(folds[0].x).sigmoid().cpu().numpy()
    return inner_score(said, folds[0].labels), tuple(penalties)


def _excess(losses: Tensor, over: int) -> tuple[Tensor, Tensor]:
    """Give what the losses are more than one of them, in the mean, and its standard error.

    Parameters
    ----------
    losses : Tensor of float64, shape (n_penalties, n)
        Of each client held out; the standard error is that of the differences, client by client.
    over : int
    """
    excess = losses - losses[over]
    return excess.mean(dim=1), excess.std(dim=1, correction=0) / math.sqrt(losses.shape[1])


def _strongest(losses: Tensor) -> int:
    """Choose the first penalty within one standard error of the least loss: (n_penalties, n)."""
    mean, error = _excess(losses, int(losses.mean(dim=1).argmin()))
    return int((mean <= error).nonzero()[0])


def _rises(losses: list[Tensor]) -> bool:
    """Say whether the last loss is more than one standard error above the least."""
    stacked = torch.stack(losses)
    mean, error = _excess(stacked, int(stacked.mean(dim=1).argmin()))
    return bool(mean[-1] > error[-1])


class _Line(NamedTuple):
    """Weights of shape (n_axes, n_classes), or (n_axes, 1) for all classes; biases (n_classes,)."""

    weights: Tensor
    bias: Tensor

    def logits(self, x: Tensor) -> Tensor:
        """Give the log-odds of each class: (n, n_classes)."""
        return x @ self.weights + self.bias


@dataclass(frozen=True)
class _Fold:
    """Clients that are learned from, and clients that are held out.

    Parameters
    ----------
    fitted : _Part
    x : Tensor of float32, shape (n, n_axes)
        The vectors held out, along the axes of the others.
    labels : ndarray of uint8, shape (n, n_classes)
    """

    fitted: "_Part"
    x: Tensor
    labels: np.ndarray

    @classmethod
    def of(cls, representation: Representation, fitted: Labelled, held: Labelled) -> "_Fold":
        """Turn the vectors of both to the axes."""
        part = _Part.of(representation, fitted)
        return cls(part, part.axes.turn(representation, held.rows), held.labels)

    def losses(self, line: _Line) -> Tensor:
        """Sum the cross-entropy of each client held out over the classes: (n,)."""
        y = torch.from_numpy(self.labels).to(self.x.device, torch.float32)
        every = binary_cross_entropy_with_logits(line.logits(self.x), y, reduction="none")
        return every.sum(dim=1).double()


@dataclass(frozen=True)
class _Part:
    """Some labelled clients.

    Parameters
    ----------
    axes : _Axes
        Of their vectors.
    x : Tensor of float32, shape (n, n_axes)
    y : Tensor of float32, shape (n, n_classes)
    rates : Tensor of float32, shape (n_classes,)
    """

    axes: "_Axes"
    x: Tensor
    y: Tensor
    rates: Tensor

    @classmethod
    def of(cls, representation: Representation, labelled: Labelled) -> "_Part":
        """Turn the vectors of labelled clients to their axes."""
        axes = _Axes.of(representation, labelled.rows)
        x = axes.turn(representation, labelled.rows)
        y = torch.from_numpy(labelled.labels).to(x.device, torch.float32)
        rates = torch.from_numpy(base_rates(labelled.labels)).to(x.device, torch.float32)
        return cls(axes, x, y, rates)

    def path(self, penalties: tuple[float, ...], beside: _Line | None = None) -> Iterator[_Line]:
        """Fit with one penalty after the other, each from where the one before ended.

        Parameters
        ----------
        penalties : tuple of float
        beside : _Line, optional
            Fit weights of each class beside these; by default weights that all have in common.
        """
        # How the loss is curved at the base rate: along the axes as their variances are.
        curved = self.rates * (1 - self.rates)
        axes, classes = self.x.shape[1], len(curved)
        if beside is None:
            # One column, which counts in every class.
            line = _Line(self.x.new_zeros(axes, 1), self.rates.logit())
            start, offset, curvature = line.weights, self.x.new_zeros(1), curved.sum()
        else:
            line, curvature = beside, curved
            start, offset = self.x.new_zeros(axes, classes), self.x @ beside.weights
        fixed, bias = line
        for penalty in penalties:
            if math.isfinite(penalty):
                stretch = (self.axes.variances[:, None] * curvature + penalty).sqrt()
                start, bias = self._minimize(
                    offset, penalty, (start, bias), (stretch, curved.sqrt())
                )
                line = _Line(fixed + start, bias)
            yield line

    def _minimize(
        self,
        offset: Tensor,
        penalty: float,
        start: tuple[Tensor, Tensor],
        stretch: tuple[Tensor, Tensor],
    ) -> tuple[Tensor, Tensor]:
        """Minimize the loss by L-BFGS, in coordinates in which it is about as curved everywhere."""
        scaled, scaled_bias = (
            (value * by).requires_grad_() for value, by in zip(start, stretch, strict=True)
        )
        optimizer = torch.optim.LBFGS(
            [scaled, scaled_bias],
            max_iter=ITERATIONS,
            tolerance_grad=_GRADIENT,
            tolerance_change=_CHANGE,
            line_search_fn="strong_wolfe",
        )

        def closure() -> Tensor:
            optimizer.zero_grad()
            weights = scaled / stretch[0]
            logits = self.x @ weights + offset + scaled_bias / stretch[1]
            loss = binary_cross_entropy_with_logits(logits, self.y, reduction="sum") / len(self.x)
            loss = loss + penalty / 2 * (weights * weights).sum()
            loss.backward()
            return loss

        optimizer.step(closure)
        return (scaled / stretch[0]).detach(), (scaled_bias / stretch[1]).detach()


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
