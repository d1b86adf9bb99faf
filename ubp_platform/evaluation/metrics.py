"""The challenge's metrics: AUROC, novelty, diversity, the score of a task, and the Borda count."""

from collections.abc import Mapping
from typing import TypeVar

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, computed_field
from scipy.stats import rankdata
from torch import Tensor
from torch.nn.functional import normalize

from ubp_platform.evaluation.tasks import Task

#: Novelty looks at so many predictions of a client.
TOP = 10
#: Novelty is 1 less the mean popularity, to this power.
NOVELTY_POWER = 100
_EPSILON = 1e-9


class Metrics(BaseModel):
    """How good one set of predictions is.

    Parameters
    ----------
    auroc : float
        Of a multi-label task the mean over its classes, see :func:`measure`.
    novelty, diversity : float, optional
        Of multi-label tasks.
    """

    model_config = ConfigDict(frozen=True, allow_inf_nan=False)

    auroc: float
    novelty: float | None = None
    diversity: float | None = None

    @computed_field  # type: ignore[prop-decorator]
    @property
    def score(self) -> float:
        """The task's score (paper, section 2): AUROC, of multi-label tasks 80% of it.

        Examples
        --------
        >>> Metrics(auroc=0.9).score
        0.9
        >>> round(Metrics(auroc=0.9, novelty=0.5, diversity=0.7).score, 2)
        0.84
        """
        if self.novelty is None or self.diversity is None:
            return self.auroc
        return weighted(self.auroc, self.novelty, self.diversity)


Number = TypeVar("Number", float, np.ndarray)


def weighted(auroc: Number, novelty: Number, diversity: Number) -> Number:
    """Weigh the three metrics of a multi-label task."""
    return 0.8 * auroc + 0.1 * novelty + 0.1 * diversity


def measure(task: Task, probabilities: Tensor, skip_undefined: bool = False) -> Metrics:
    """Judge predictions by the validation window.

    Parameters
    ----------
    task : Task
    probabilities : Tensor of float32, shape (n_rows, n_classes)
        In the order of the task's rows.
    skip_undefined : bool
        Whether classes without a yes or without a no are left out of the mean AUROC (0.5, guessing,
        if all are); otherwise they count 0, as in the challenge.
    """
    areas = auroc(probabilities.cpu().numpy(), task.validation)
    if skip_undefined:
        areas = areas[answerable(task.validation)]
    mean = float(areas.mean()) if len(areas) else 0.5
    if task.classes is None:
        return Metrics(auroc=mean)
    return Metrics(
        auroc=mean,
        novelty=novelty(probabilities, task.classes.popularity),
        diversity=diversity(probabilities),
    )


def answerable(labels: np.ndarray) -> np.ndarray:
    """Find the classes with a yes and a no: the others have no AUROC.

    Parameters
    ----------
    labels : ndarray of uint8, shape (n_rows, n_classes)

    Returns
    -------
    ndarray of bool, shape (n_classes,)
    """
    yes = labels.sum(axis=0, dtype=np.int64)
    return (yes > 0) & (yes < len(labels))


def auroc(probabilities: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Give each class the chance that a yes is ranked before a no; equal ranks count half.

    What torchmetrics gives (a test compares), counted rather than integrated.

    Parameters
    ----------
    probabilities : ndarray of float32, shape (n_rows, n_classes)
    labels : ndarray of uint8, shape (n_rows, n_classes)

    Returns
    -------
    ndarray of float64, shape (n_classes,)
        0 for a class without a yes or without a no.

    Examples
    --------
    >>> auroc(np.array([[0.9], [0.4], [0.4]]), np.array([[1], [0], [1]]))
    array([0.75])
    """
    areas = np.zeros(labels.shape[1])
    for column, (said, label) in enumerate(zip(probabilities.T.copy(), labels.T, strict=True)):
        yes = np.sort(said[label == 1])
        no = np.sort(said[label == 0])
        if len(yes) and len(no):
            smaller = np.searchsorted(no, yes, "left").sum()
            not_larger = np.searchsorted(no, yes, "right").sum()
            areas[column] = (smaller + not_larger) / (2 * len(yes) * len(no))
    return areas


def diversity(probabilities: Tensor) -> float:
    """Average the entropy of each client's predictions, as a share of the largest possible.

    Parameters
    ----------
    probabilities : Tensor of float32, shape (n_rows, n_classes)
        Sigmoids; divided by their sum here.

    Examples
    --------
    >>> round(diversity(torch.tensor([[0.2, 0.2], [0.3, 0.3]])), 6)
    1.0
    """
    return float(entropies(probabilities).mean() / np.log2(probabilities.shape[1]))


def entropies(probabilities: Tensor) -> Tensor:
    """Give the entropy of each client's predictions, in bits: float64, shape (n_rows,)."""
    shares = normalize(probabilities.double(), p=1, dim=1)
    return -(shares * torch.log2(shares + _EPSILON)).sum(dim=1)


def novelty(probabilities: Tensor, popularity: np.ndarray) -> float:
    """Say how far the likeliest classes are from being the popular ones, surely predicted.

    Parameters
    ----------
    probabilities : Tensor of float32, shape (n_rows, n_classes)
    popularity : ndarray of float64, shape (n_classes,)

    Examples
    --------
    >>> novelty(torch.tensor([[1.0, 0.0]]), np.array([3.0, 1.0])) == 0.25**100
    True
    """
    popular = popularities(probabilities, popularity).mean().item()
    return float((1 - popular) ** NOVELTY_POWER)


def popularities(probabilities: Tensor, popularity: np.ndarray) -> Tensor:
    """Sum sigmoid × popularity over each client's likeliest classes: float64, shape (n_rows,).

    Parameters
    ----------
    probabilities : Tensor of float32, shape (n_rows, n_classes)
    popularity : ndarray of float64, shape (n_classes,)
        Scaled here, so that the :data:`TOP` largest sum to 1.
    """
    top = min(TOP, len(popularity))
    scale = np.sort(popularity)[-top:].sum()
    values, which = probabilities.double().topk(top, dim=1)
    worth = torch.from_numpy(popularity / scale).to(values.device)
    return (values * worth[which]).sum(dim=1)


def borda(scores: Mapping[str, Mapping[str, float]]) -> dict[str, int]:
    """Count points over tasks: N - k for rank k of N (paper, section 2).

    Parameters
    ----------
    scores : mapping of str to mapping of str to float
        By representation, then by task.

    Returns
    -------
    dict of str to int
        Those that tie share the better rank.

    Examples
    --------
    >>> borda({"a": {"churn": 0.7, "sku": 0.6}, "b": {"churn": 0.8, "sku": 0.6}})
    {'a': 1, 'b': 2}
    """
    names = list(scores)
    points = dict.fromkeys(names, 0)
    for task in scores[names[0]]:
        ranks = rankdata([-scores[name][task] for name in names], method="min")
        for name, rank in zip(names, ranks, strict=True):
            points[name] += len(names) - int(rank)
    return points
