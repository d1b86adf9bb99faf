"""The head ``logistic``: logistic regression of all classes at once, with shared weights.

Most products are bought by a handful of clients. Weights for buying anything at all are learned
from all classes together, and each class departs from them as far as its own labels support:
mean-regularized multi-task learning (Evgeniou and Pontil, 2004). With one class this is plain
logistic regression. scikit-learn fits one class after another, which takes minutes for a hundred.
"""

import math
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from ubp_platform.evaluation.heads import regularization_path as path
from ubp_platform.evaluation.heads.base import Advance, Labelled, Prediction, inner_score
from ubp_platform.evaluation.heads.principal_axes import NEGLIGIBLE, chunks
from ubp_platform.evaluation.heads.regularization_path import LinearModel, Problem
from ubp_platform.evaluation.representations import Representation

#: L2 penalties that are tried, strongest first: of the weights shared by all classes, and of the
#: weights of each class; an infinite penalty leaves no weights per class.
SHARED = (100.0, 10.0, 1.0, 1e-1, 1e-2, 1e-3, 1e-4)
OWN = (math.inf, 10.0, 1.0, 1e-1, 1e-2, 1e-3, 1e-4)
#: With at most this many labelled clients, one fifth is too few to select on: all folds are used.
FEW = 6_000


class Logistic:
    """Logistic regression whose weights of a class are shared weights s plus its own weights v.

    First s and the biases minimize the sum over classes of mean cross-entropy + λ/2 ‖s‖². Then all
    v and the biases minimize the same sum + μ/2 Σ ‖v‖², with s fixed. λ, and then μ, is the
    strongest penalty whose held-out cross-entropy is within one standard error of the lowest; once
    it has risen by more than one, weaker penalties are not tried.

    The input is centred and divided by one scale, the root of the mean variance of its columns, not
    column by column: the scale of a column carries its weight, and a penalty means the same for
    every representation.
    """

    def __init__(self) -> None:
        penalties = [str(penalty) for penalty in (*SHARED, *OWN)]
        numbers = [FEW, path.ITERATIONS, path.GRADIENT, path.CHANGE, NEGLIGIBLE]
        self.parameters: list[Any] = ["logistic", "one standard error", penalties, *numbers]

    def fit(
        self,
        representation: Representation,
        labelled: Labelled,
        rows: np.ndarray,
        seed: int,
        advance: Advance,
    ) -> Prediction:
        """Select the penalties on held-out clients, then refit on all labelled clients."""
        count = None if len(labelled.rows) <= FEW else 1
        folds = [
            _Fold.of(representation, fitted, held)
            for fitted, held in islice(labelled.folds(seed), count)
        ]
        stages = 1 + (labelled.labels.shape[1] > 1)
        # One step per stage, and one for the refit.
        step = 1 / (stages + 1)
        inner, penalties = _select_penalties(folds, stages, lambda amount: advance(step * amount))
        del folds
        problem = Problem.of(representation, labelled)
        (model,) = problem.path(penalties[:1])
        if stages > 1:
            (model,) = problem.path(penalties[1:], shared=model)
        probabilities = [
            model.logits(problem.axes.project(representation, some)).sigmoid().cpu()
            for some in chunks(rows)
        ]
        advance(step)
        choice = " and ".join(f"{penalty:g}" for penalty in penalties)
        return Prediction(torch.cat(probabilities).numpy(), inner, f"penalty {choice}")


@dataclass(frozen=True)
class _Fold:
    """A problem to fit, and held-out clients: vectors on the problem's axes, and labels."""

    problem: Problem
    x: Tensor
    labels: np.ndarray

    @classmethod
    def of(cls, representation: Representation, fitted: Labelled, held: Labelled) -> "_Fold":
        problem = Problem.of(representation, fitted)
        return cls(problem, problem.axes.project(representation, held.rows), held.labels)

    def losses(self, model: LinearModel) -> Tensor:
        """Sum the cross-entropy of each held-out client over the classes: (n,)."""
        y = torch.from_numpy(self.labels).to(self.x.device, torch.float32)
        losses = binary_cross_entropy_with_logits(model.logits(self.x), y, reduction="none")
        return losses.sum(dim=1).double()


def _select_penalties(
    folds: list[_Fold], stages: int, advance: Advance
) -> tuple[float, tuple[float, ...]]:
    """Select one penalty per stage; return the first fold's inner score, and the penalties."""
    best: list[LinearModel | None] = [None] * len(folds)
    selected = []
    for penalties in (SHARED, OWN)[:stages]:
        paths = [
            fold.problem.path(penalties, shared) for fold, shared in zip(folds, best, strict=True)
        ]
        models, losses, done = [], [], 0.0
        for each in zip(*paths, strict=True):
            models.append(each)
            losses.append(
                torch.cat([fold.losses(model) for fold, model in zip(folds, each, strict=True)])
            )
            advance(1 / len(penalties))
            done += 1 / len(penalties)
            mean, error = _excess(torch.stack(losses))
            if mean[-1] > error[-1]:
                break
        advance(1 - done)
        # The strongest penalty within one standard error of the lowest loss.
        chosen = int((mean <= error).nonzero()[0])
        best = [*models[chosen]]
        selected.append(penalties[chosen])
    probabilities = models[chosen][0].logits(folds[0].x).sigmoid().cpu().numpy()
    return inner_score(probabilities, folds[0].labels), tuple(selected)


def _excess(losses: Tensor) -> tuple[Tensor, Tensor]:
    """Return each penalty's mean excess over the lowest loss, and its standard error.

    Parameters
    ----------
    losses : Tensor of float64, shape (n_penalties, n)
        Losses of the held-out clients; the standard error is that of the paired differences.
    """
    excess = losses - losses[losses.mean(dim=1).argmin()]
    return excess.mean(dim=1), excess.std(dim=1, correction=0) / math.sqrt(losses.shape[1])
