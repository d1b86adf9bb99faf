"""The interface of a head, and the inner split on which it selects its hyperparameters."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal, Protocol, Self, get_args

import numpy as np

from ubp_platform.evaluation.metrics import answerable, auroc
from ubp_platform.evaluation.representations import Representation
from ubp_platform.evaluation.tasks import Task

HeadName = Literal["network", "logistic", "boosting"]
HEADS: tuple[HeadName, ...] = get_args(HeadName)
#: Share of the labelled clients that the inner split holds out.
HELD_OUT = 0.2
#: Receives the completed share of a fit.
Advance = Callable[[float], None]


@dataclass(frozen=True)
class Labelled:
    """Clients with their labels of the train window: everything a head may learn from.

    Parameters
    ----------
    rows : ndarray of int64, shape (n,)
        Positions in the list of clients, ascending.
    labels : ndarray of uint8, shape (n, n_classes)
    """

    rows: np.ndarray
    labels: np.ndarray

    @classmethod
    def of(cls, task: Task, count: int | None = None, seed: int = 0) -> Self:
        """Select the labels of a task.

        Parameters
        ----------
        task : Task
        count : int, optional
            Number of labelled clients; all by default. With the same seed, a smaller selection is a
            subset of a larger one.
        seed : int
        """
        if count is None:
            return cls(task.rows, task.train)
        # Not the random stream of the inner split, which uses the same seed.
        drawn = np.random.default_rng([seed, 1]).permutation(len(task.rows))[:count]
        drawn.sort()
        return cls(task.rows[drawn], task.train[drawn])

    def split(self, seed: int) -> tuple[Self, Self]:
        """Hold out :data:`HELD_OUT` of the clients, at least one; a single client is in both parts.

        Returns
        -------
        fitted, held_out : Labelled
        """
        return next(self.folds(seed))

    def folds(self, seed: int) -> Iterator[tuple[Self, Self]]:
        """Split into folds, so that every client is held out once.

        Yields
        ------
        fitted, held_out : Labelled
            The first fold is :meth:`split`.
        """
        count = len(self.rows)
        if count < 2:
            yield self, self
            return
        drawn = np.random.default_rng([seed, 0]).permutation(count)
        size = max(1, round(HELD_OUT * count))
        for first in range(0, count - size + 1, size):
            held = np.zeros(count, dtype=bool)
            last = first + size if first + 2 * size <= count else count
            held[drawn[first:last]] = True
            yield self._where(~held), self._where(held)

    def _where(self, chosen: np.ndarray) -> Self:
        return type(self)(self.rows[chosen], self.labels[chosen])


@dataclass(frozen=True)
class Prediction:
    """Predictions of a head fitted on all labelled clients with the selected hyperparameters.

    Parameters
    ----------
    probabilities : ndarray of float32, shape (n_predicted, n_classes)
    inner : float
        The :func:`inner_score` of the selected hyperparameters.
    choice : str
        The selected hyperparameters, as text.
    """

    probabilities: np.ndarray
    inner: float
    choice: str


class Head(Protocol):
    """A model that learns a task from the labels of the train window.

    It receives no label of the validation window, so these cannot influence its hyperparameters.
    """

    #: All parameters, JSON-serializable: equal parameters give equal predictions.
    parameters: list[Any]

    def fit(
        self,
        representation: Representation,
        labelled: Labelled,
        rows: np.ndarray,
        seed: int,
        advance: Advance,
    ) -> Prediction:
        """Select hyperparameters on the inner split, fit on all labelled clients, and predict.

        Parameters
        ----------
        representation : Representation
        labelled : Labelled
        rows : ndarray of int64, shape (n_predicted,)
            Clients to predict, as positions in the list of clients, ascending.
        seed : int
            Seed of the inner split and of the model.
        advance : callable
            Receives the completed shares of the fit, which sum to 1.
        """
        ...


def inner_score(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """Average the AUROC over the classes with both labels; 0.5 (chance) where none has both.

    Parameters
    ----------
    probabilities : ndarray of float32, shape (n, n_classes)
    labels : ndarray of uint8, shape (n, n_classes)

    Examples
    --------
    >>> inner_score(np.array([[0.9, 0.1], [0.2, 0.3]]), np.array([[1, 0], [0, 0]]))
    1.0
    """
    both = answerable(labels)
    if not both.any():
        return 0.5
    return float(auroc(probabilities[:, both], labels[:, both]).mean())


def base_rates(labels: np.ndarray) -> np.ndarray:
    """Estimate the share of positives per class, smoothed by half a positive and half a negative.

    Parameters
    ----------
    labels : ndarray of uint8, shape (n, n_classes)

    Returns
    -------
    ndarray of float64, shape (n_classes,)
        Strictly between 0 and 1.

    Examples
    --------
    >>> base_rates(np.array([[1], [0], [0]]))
    array([0.375])
    """
    return (labels.sum(axis=0) + 0.5) / (len(labels) + 1)
