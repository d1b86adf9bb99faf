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

#: Number of a client's likeliest classes that enter novelty.
TOP = 10
#: Novelty is (1 − mean popularity) to this power.
NOVELTY_POWER = 100
_EPSILON = 1e-9


class Metrics(BaseModel):
    """The metrics of one set of predictions.

    Parameters
    ----------
    auroc : float
        The mean over the classes of a multi-label task, see :func:`measure`.
    novelty, diversity : float, optional
        For multi-label tasks.
    """

    model_config = ConfigDict(frozen=True, allow_inf_nan=False)

    auroc: float
    novelty: float | None = None
    diversity: float | None = None

    @computed_field  # type: ignore[prop-decorator]
    @property
    def score(self) -> float:
        """The task's score (paper, section 2): AUROC, or :func:`weighted` for multi-label tasks.

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
    """Combine the three metrics of a multi-label task."""
    return 0.8 * auroc + 0.1 * novelty + 0.1 * diversity


def measure(task: Task, probabilities: Tensor, skip_undefined: bool = False) -> Metrics:
    """Score predictions on the validation window.

    Parameters
    ----------
    task : Task
    probabilities : Tensor of float32, shape (n_rows, n_classes)
        In the order of the task's rows.
    skip_undefined : bool
        Whether classes with only one label are left out of the mean AUROC (0.5, chance, if all
        are); otherwise they count as 0, as in the challenge.
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
    """Return which classes have both labels: the others have no AUROC.

    Parameters
    ----------
    labels : ndarray of uint8, shape (n_rows, n_classes)

    Returns
    -------
    ndarray of bool, shape (n_classes,)
    """
    positives = labels.sum(axis=0, dtype=np.int64)
    return (positives > 0) & (positives < len(labels))


def auroc(probabilities: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Return each class's probability that a positive ranks above a negative; ties count half.

    Equal to torchmetrics' result (a test compares them), but counted rather than integrated.

    Parameters
    ----------
    probabilities : ndarray of float32, shape (n_rows, n_classes)
    labels : ndarray of uint8, shape (n_rows, n_classes)

    Returns
    -------
    ndarray of float64, shape (n_classes,)
        0 for a class with only one label.

    Examples
    --------
    >>> auroc(np.array([[0.9], [0.4], [0.4]]), np.array([[1], [0], [1]]))
    array([0.75])
    """
    areas = np.zeros(labels.shape[1])
    for column, (scores, label) in enumerate(zip(probabilities.T.copy(), labels.T, strict=True)):
        positive = np.sort(scores[label == 1])
        negative = np.sort(scores[label == 0])
        if len(positive) and len(negative):
            smaller = np.searchsorted(negative, positive, "left").sum()
            not_larger = np.searchsorted(negative, positive, "right").sum()
            areas[column] = (smaller + not_larger) / (2 * len(positive) * len(negative))
    return areas


def diversity(probabilities: Tensor) -> float:
    """Average the entropy of each client's predictions, relative to the maximum entropy.

    Parameters
    ----------
    probabilities : Tensor of float32, shape (n_rows, n_classes)
        Sigmoids; normalized here.

    Examples
    --------
    >>> round(diversity(torch.tensor([[0.2, 0.2], [0.3, 0.3]])), 6)
    1.0
    """
    return float(entropies(probabilities).mean() / np.log2(probabilities.shape[1]))


def entropies(probabilities: Tensor) -> Tensor:
    """Return the entropy of each client's predictions, in bits: float64, shape (n_rows,)."""
    shares = normalize(probabilities.double(), p=1, dim=1)
    return -(shares * torch.log2(shares + _EPSILON)).sum(dim=1)


def novelty(probabilities: Tensor, popularity: np.ndarray) -> float:
    """Return how little the likeliest classes agree with the most popular ones.

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
        Scaled here so that the :data:`TOP` largest sum to 1.
    """
    top = min(TOP, len(popularity))
    scale = np.sort(popularity)[-top:].sum()
    values, which = probabilities.double().topk(top, dim=1)
    scaled = torch.from_numpy(popularity / scale).to(values.device)
    return (values * scaled[which]).sum(dim=1)


def borda(scores: Mapping[str, Mapping[str, float]]) -> dict[str, int]:
    """Count Borda points over tasks: N − k for rank k of N (paper, section 2); ties share a rank.

    Parameters
    ----------
    scores : mapping of str to mapping of str to float
        By representation, then by task.

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
