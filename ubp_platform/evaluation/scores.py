"""What an evaluation found: results, and what follows from them over seeds and tasks."""

from collections.abc import Sequence
from functools import cached_property
from statistics import fmean
from typing import Literal, NamedTuple

import numpy as np
from pydantic import BaseModel, Field, computed_field

from ubp_platform.evaluation.heads import HeadName
from ubp_platform.evaluation.metrics import Metrics, borda
from ubp_platform.evaluation.representations import Kind, Representation
from ubp_platform.evaluation.tasks import Task

# Between them lie 95% of the draws.
_TAILS = (0.025, 0.975)


class Curves(BaseModel):
    """Curves of a binary task: the ROC at even false positive rates, and calibration in bins."""

    false_positives: list[float]
    true_positives: list[float]
    predicted: list[float]
    observed: list[float]


class Result(BaseModel):
    """One head, fitted and judged.

    Parameters
    ----------
    representation, task : str
    head : {"network", "logistic", "boosting"}
    labels : int, optional
        How many clients were labelled; None: all.
    seed, block_seed : int
        Of the head, and of the blocks.
    choice : str
        What the head chose, in words.
    inner : float, optional
        The mean AUROC of its choice on the clients that the inner split holds out; the challenge
        has none.
    metrics : Metrics
        On the validation window.
    epochs : list of Metrics
        Under the challenge's protocol, after each epoch of the network.
    seconds : float
        Fitting and judging, when it was computed.
    curves : Curves, optional
        Of a binary task.
    draws : bytes
        Its scores in the draws of the bootstrap, float32; not part of its JSON.
    """

    representation: str
    task: str
    head: HeadName
    labels: int | None = None
    seed: int
    block_seed: int = 0
    choice: str
    inner: float | None = None
    metrics: Metrics
    epochs: list[Metrics] = []
    seconds: float
    curves: Curves | None = None
    draws: bytes = Field(b"", exclude=True, repr=False)

    @property
    def drawn(self) -> np.ndarray:
        """Its scores in the draws: float32, shape (n_draws,)."""
        return np.frombuffer(self.draws, np.float32)


class TaskInfo(BaseModel):
    """What a task asks, in numbers.

    Parameters
    ----------
    name : str
    clients : int
        Whom it asks about.
    classes : int
        1 for a binary task.
    train, validation : float
        Share of all answers that are yes.
    unanswerable : int
        Classes without a yes (or a no) in the validation window: left out of the mean AUROC, or 0
        in it, as the protocol has it.
    """

    name: str
    clients: int
    classes: int
    train: float
    validation: float
    unanswerable: int

    @classmethod
    def of(cls, task: Task) -> "TaskInfo":
        """Describe a task."""
        return cls(
            name=task.name,
            clients=len(task.rows),
            classes=task.train.shape[1],
            train=float(task.train.mean()),
            validation=float(task.validation.mean()),
            unanswerable=task.unanswerable if task.classes else 0,
        )


class RepresentationInfo(BaseModel):
    """What was compared: a name, what kind it is of, and how many numbers it has."""

    name: str
    kind: Kind
    width: int

    @classmethod
    def of(cls, representation: Representation) -> "RepresentationInfo":
        """Describe a representation."""
        return cls(name=representation.name, kind=representation.kind, width=representation.width)


class Average(NamedTuple):
    """A mean, with what it owes to chance.

    Parameters
    ----------
    mean : float
    deviation : float
        The standard deviation over the head's seeds, within a block seed; 0 of one seed.
    between : float
        That of the block seeds' means; 0 of one block seed.
    """

    mean: float
    deviation: float
    between: float = 0.0

    @classmethod
    def over(cls, values: np.ndarray) -> "Average":
        """Average some values: shape (n_block_seeds, n_seeds)."""
        blocks, seeds = values.shape
        within = np.sqrt(values.var(axis=1, ddof=1).mean()) if seeds > 1 else 0.0
        between = values.mean(axis=1).std(ddof=1) if blocks > 1 else 0.0
        return cls(float(values.mean()), float(within), float(between))


class Difference(NamedTuple):
    """How much better one is than another.

    Parameters
    ----------
    mean : float
    low, high : float
        The 95% interval of the paired bootstrap over clients.
    ahead : float
        The share of draws in which the one is better; equal ones count half.
    """

    mean: float
    low: float
    high: float
    ahead: float

    @property
    def sign(self) -> int:
        """Who is ahead: 1, -1, or 0 where the interval includes 0."""
        return int(self.low > 0) - int(self.high < 0)


class Scores(BaseModel):
    """Scores of every representation on every task.

    A score is that of the representation's best head, see :meth:`chosen`, averaged over the head's
    seeds and the blocks'.

    Parameters
    ----------
    protocol : {"holdout", "challenge"}
    network : {"paper", "small"}
    heads : list of str
    seeds, block_seeds : list of int
    budgets : list of int
        Numbers of labelled clients, beside all of them.
    tasks : list of TaskInfo
    representations : list of RepresentationInfo
    results : list of Result
    reused : int
        How many of the results were there before.
    """

    protocol: Literal["holdout", "challenge"]
    network: Literal["paper", "small"]
    heads: list[HeadName]
    seeds: list[int]
    block_seeds: list[int]
    budgets: list[int]
    tasks: list[TaskInfo]
    representations: list[RepresentationInfo]
    results: list[Result]
    reused: int

    @computed_field  # type: ignore[prop-decorator]
    @property
    def sums(self) -> dict[str, float]:
        """The sum over the tasks of each representation, averaged over the seeds."""
        return {info.name: self.score(info.name).mean for info in self.representations}

    @cached_property
    def _found(self) -> dict[tuple[str, str, int | None], dict[HeadName, list[Result]]]:
        """The results by representation, task and labels, then by head."""
        found: dict[tuple[str, str, int | None], dict[HeadName, list[Result]]] = {}
        for result in self.results:
            key = (result.representation, result.task, result.labels)
            found.setdefault(key, {}).setdefault(result.head, []).append(result)
        return found

    def heads_of(self, representation: str) -> list[HeadName]:
        """Give the heads that were fitted on a representation."""
        return list(self._found[representation, self.tasks[0].name, None])

    def chosen(
        self,
        representation: str,
        task: str,
        labels: int | None = None,
        among: Sequence[HeadName] | None = None,
    ) -> HeadName:
        """Choose the head with the best mean score on the inner split; of equals the first.

        Parameters
        ----------
        representation, task : str
        labels : int, optional
        among : sequence of str, optional
            The heads to choose from; all that were fitted by default.
        """
        by_head = self._by_head(representation, task, labels)
        heads = [head for head in by_head if among is None or head in among]
        return max(heads, key=lambda head: fmean(r.inner or 0 for r in by_head[head]))

    def of(
        self,
        representation: str,
        task: str,
        head: HeadName | None = None,
        labels: int | None = None,
    ) -> list[Result]:
        """Give the results of a representation on a task, one a seed; of the chosen head."""
        head = head or self.chosen(representation, task, labels)
        return self._by_head(representation, task, labels)[head]

    def _by_head(
        self, representation: str, task: str, labels: int | None
    ) -> dict[HeadName, list[Result]]:
        # A task with no more clients than the budget is asked once, with all of them.
        key = (representation, task, labels)
        return self._found.get(key) or self._found[representation, task, None]

    def score(
        self,
        representation: str,
        task: str | None = None,
        head: HeadName | None = None,
        labels: int | None = None,
    ) -> Average:
        """Average a score over the seeds; without a task the sum over all tasks."""
        return self.metric("score", representation, task, head, labels)

    def metric(
        self,
        name: Literal["score", "auroc", "novelty", "diversity"],
        representation: str,
        task: str | None = None,
        head: HeadName | None = None,
        labels: int | None = None,
    ) -> Average:
        """Average a metric over the seeds; without a task its sum over all tasks."""
        tables = [
            np.array(
                [
                    [getattr(result.metrics, name) for result in of_blocks]
                    for of_blocks in _by_block_seed(self.of(representation, one, head, labels))
                ]
            )
            for one in self._tasks(task)
        ]
        return Average.over(np.sum(tables, axis=0))

    def draws(
        self,
        representation: str,
        task: str | None = None,
        head: HeadName | None = None,
        labels: int | None = None,
        among: Sequence[HeadName] | None = None,
    ) -> np.ndarray:
        """Average the score in each draw of the bootstrap over the seeds: shape (n_draws,)."""
        means = []
        for one in self._tasks(task):
            name = head or self.chosen(representation, one, labels, among)
            results = self.of(representation, one, name, labels)
            means.append(np.mean([result.drawn for result in results], axis=0, dtype=np.float64))
        summed: np.ndarray = np.sum(means, axis=0)
        return summed

    def interval(
        self, representation: str, task: str | None = None, labels: int | None = None
    ) -> tuple[float, float]:
        """Give the 95% interval of a score over draws of clients."""
        low, high = np.quantile(self.draws(representation, task, labels=labels), _TAILS)
        return float(low), float(high)

    def gain(
        self,
        one: str,
        over: str,
        task: str | None = None,
        among: Sequence[HeadName] | None = None,
    ) -> Difference:
        """Say how much better one is than another; without a task, in the sum over all.

        Parameters
        ----------
        one, over : str
        task : str, optional
        among : sequence of str, optional
            The heads to choose from, for both.
        """

        def mean(name: str) -> float:
            return sum(
                self.score(name, single, self.chosen(name, single, among=among)).mean
                for single in self._tasks(task)
            )

        drawn = self.draws(one, task, among=among) - self.draws(over, task, among=among)
        low, high = np.quantile(drawn, _TAILS)
        ahead = float(((drawn > 0) + 0.5 * (drawn == 0)).mean())
        return Difference(mean(one) - mean(over), float(low), float(high), ahead)

    def lost(self, without: str, task: str | None = None) -> Difference:
        """Say what the profile loses without a block, both with the head of the one without."""
        return self.gain("profile", without, task, self.heads_of(without))

    def _tasks(self, task: str | None) -> list[str]:
        return [task] if task else [info.name for info in self.tasks]

    def borda(self, names: Sequence[str]) -> dict[str, int]:
        """Count Borda points among some representations, by their mean scores."""
        return borda(
            {
                name: {info.name: self.score(name, info.name).mean for info in self.tasks}
                for name in names
            }
        )

    @property
    def subject(self) -> RepresentationInfo:
        """Whom the evaluation is about: embeddings from elsewhere, or the profile."""
        return (self.of_kind("foreign") or self.of_kind("profile") or self.ranked())[0]

    def ranked(self) -> list[RepresentationInfo]:
        """Give what stands for itself (a profile without one block does not), best first."""
        found = self.of_kind("profile", "compact", "foreign", "block", "baseline")
        return sorted(found, key=lambda info: -self.score(info.name).mean)

    def budgeted(self) -> list[RepresentationInfo]:
        """Give what was also fitted with fewer labels, best first."""
        fewer = {result.representation for result in self.results if result.labels is not None}
        return [info for info in self.ranked() if info.name in fewer]

    def best(self) -> dict[str | None, float]:
        """Give the best mean score of :meth:`ranked` by task; of the sum by None."""
        return {
            task: max(self.score(info.name, task).mean for info in self.ranked())
            for task in (*(info.name for info in self.tasks), None)
        }

    def of_kind(self, *kinds: Kind) -> list[RepresentationInfo]:
        """Give the representations of some kinds, in their order."""
        return [info for info in self.representations if info.kind in kinds]


def _by_block_seed(results: Sequence[Result]) -> list[list[Result]]:
    found: dict[int, list[Result]] = {}
    for result in results:
        found.setdefault(result.block_seed, []).append(result)
    return list(found.values())
