"""The contract of a head, and the inner split by which it makes its choices."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal, Protocol, Self, get_args

import numpy as np

from ubp_platform.evaluation.metrics import answerable, auroc
from ubp_platform.evaluation.representations import Representation
from ubp_platform.evaluation.tasks import Task

HeadName = Literal["network", "logistic", "boosting"]
HEADS: tuple[HeadName, ...] = get_args(HeadName)
#: The share of the labelled clients that the inner split holds out.
HELD_OUT = 0.2
#: Is told a share of a fit as it is done.
Advance = Callable[[float], None]


@dataclass(frozen=True)
class Labelled:
    """Clients with their labels of the train window: all that a head may learn from.

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
        """Take the labels of a task.

        Parameters
        ----------
        task : Task
        count : int, optional
            How many clients are labelled; all by default. Of one seed the fewer are among the more.
        seed : int
            Draws them.
        """
        if count is None:
            return cls(task.rows, task.train)
        # The stream differs from that of the inner split, which draws with the same seed.
        drawn = np.random.default_rng([seed, 1]).permutation(len(task.rows))[:count]
        drawn.sort()
        return cls(task.rows[drawn], task.train[drawn])

    def split(self, seed: int) -> tuple[Self, Self]:
        """Hold out :data:`HELD_OUT` of the clients, at least one; a single client is both parts.

        Parameters
        ----------
        seed : int

        Returns
        -------
        fitted, held_out : Labelled
        """
        return next(self.folds(seed))

    def folds(self, seed: int) -> Iterator[tuple[Self, Self]]:
        """Hold out one part of the clients after the other, until each was held out once.

        Parameters
        ----------
        seed : int

        Yields
        ------
        fitted, held_out : Labelled
            First those of :meth:`split`.
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
    """What a head predicts once its choice is made and it is fitted on all labelled clients.

    Parameters
    ----------
    probabilities : ndarray of float32, shape (n_asked, n_classes)
    inner : float
        The :func:`inner_score` of its choice.
    choice : str
        What was chosen, in words.
    """

    probabilities: np.ndarray
    inner: float
    choice: str


class Head(Protocol):
    """What learns a task from the labels of the train window.

    It is given no label of the validation window, so that none can tell it what to choose.
    """

    #: All its parameters, for JSON: equal parameters, equal predictions.
    parameters: list[Any]

    def fit(
        self,
        representation: Representation,
        labelled: Labelled,
        asked: np.ndarray,
        seed: int,
        advance: Advance,
    ) -> Prediction:
        """Choose by the inner split, fit on all labelled clients, and predict.

        Parameters
        ----------
        representation : Representation
        labelled : Labelled
        asked : ndarray of int64, shape (n_asked,)
            Whom to predict, as positions in the list of clients, ascending.
        seed : int
            Of the inner split, and of whatever else is random.
        advance : callable
            Is told shares of the fit, which sum to 1.
        """
        ...


def inner_score(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """Average the AUROC over the classes with a yes and a no; 0.5, guessing, where none has both.

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
    """Give the share of yes of each class, with half a yes and half a no more than there are.

    Parameters
    ----------
    labels : ndarray of uint8, shape (n, n_classes)

    Returns
    -------
    ndarray of float64, shape (n_classes,)
        Neither 0 nor 1.

    Examples
    --------
    >>> base_rates(np.array([[1], [0], [0]]))
    array([0.375])
    """
    return (labels.sum(axis=0) + 0.5) / (len(labels) + 1)
