"""Scores of an evaluation: its results averaged over seeds and tasks, and compared."""

from collections.abc import Sequence
from functools import cached_property
from statistics import fmean
from typing import Literal, NamedTuple

import numpy as np
from pydantic import BaseModel, computed_field

from ubp_platform.evaluation.heads import HeadName
from ubp_platform.evaluation.metrics import borda
from ubp_platform.evaluation.representations import Kind
from ubp_platform.evaluation.results import RepresentationInfo, Result, TaskInfo

# Quantiles that enclose 95% of the draws.
_TAILS = (0.025, 0.975)


class Average(NamedTuple):
    """A mean with its deviations.

    Parameters
    ----------
    mean : float
    deviation : float
        Standard deviation over the head's seeds, within a block seed; 0 with one seed.
    between : float
        Standard deviation of the block seeds' means; 0 with one block seed.
    """

    mean: float
    deviation: float
    between: float = 0.0

    @classmethod
    def over(cls, values: np.ndarray) -> "Average":
        """Average values of shape (n_block_seeds, n_seeds)."""
        blocks, seeds = values.shape
        within = np.sqrt(values.var(axis=1, ddof=1).mean()) if seeds > 1 else 0.0
        between = values.mean(axis=1).std(ddof=1) if blocks > 1 else 0.0
        return cls(float(values.mean()), float(within), float(between))


class Difference(NamedTuple):
    """The difference between the scores of two representations.

    Parameters
    ----------
    mean : float
    low, high : float
        The 95% interval of the paired bootstrap over clients.
    ahead : float
        The share of draws in which the first one is better; ties count half.
    """

    mean: float
    low: float
    high: float
    ahead: float

    @property
    def sign(self) -> int:
        """1 or -1 for a significant difference, 0 where the interval includes 0."""
        return int(self.low > 0) - int(self.high < 0)


class Scores(BaseModel):
    """Scores of every representation on every task.

    A score is that of the representation's best head, see :meth:`chosen`, averaged over the seeds
    of the head and of the blocks. Where a task is optional, None stands for the sum over all tasks.

    Parameters
    ----------
    protocol : {"holdout", "challenge"}
    network : {"paper", "small"}
    heads : list of str
    seeds, block_seeds : list of int
    budgets : list of int
        Numbers of labelled clients, in addition to all of them.
    tasks : list of TaskInfo
    representations : list of RepresentationInfo
    results : list of Result
    reused : int
        Number of results that were stored before.
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
        """Each representation's sum over the tasks, averaged over the seeds."""
        return {info.name: self.score(info.name).mean for info in self.representations}

    @cached_property
    def _grouped(self) -> dict[tuple[str, str, int | None], dict[HeadName, list[Result]]]:
        """The results by representation, task and labels, then by head."""
        grouped: dict[tuple[str, str, int | None], dict[HeadName, list[Result]]] = {}
        for result in self.results:
            key = (result.representation, result.task, result.labels)
            grouped.setdefault(key, {}).setdefault(result.head, []).append(result)
        return grouped

    def heads_of(self, representation: str) -> list[HeadName]:
        """Return the heads that were fitted on a representation."""
        return list(self._grouped[representation, self.tasks[0].name, None])

    def chosen(
        self,
        representation: str,
        task: str,
        labels: int | None = None,
        among: Sequence[HeadName] | None = None,
    ) -> HeadName:
        """Return the head with the best mean score on the inner split; ties go to the first.

        Parameters
        ----------
        representation, task : str
        labels : int, optional
        among : sequence of str, optional
            The heads to choose from; by default all that were fitted.
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
        """Return the results of a head, by default the chosen one: one result per seed."""
        head = head or self.chosen(representation, task, labels)
        return self._by_head(representation, task, labels)[head]

    def _by_head(
        self, representation: str, task: str, labels: int | None
    ) -> dict[HeadName, list[Result]]:
        # A task without more clients than the budget was fitted only once, on all of them.
        key = (representation, task, labels)
        return self._grouped.get(key) or self._grouped[representation, task, None]

    def score(
        self,
        representation: str,
        task: str | None = None,
        head: HeadName | None = None,
        labels: int | None = None,
    ) -> Average:
        """Average a score over the seeds."""
        return self.metric("score", representation, task, head, labels)

    def metric(
        self,
        name: Literal["score", "auroc", "novelty", "diversity"],
        representation: str,
        task: str | None = None,
        head: HeadName | None = None,
        labels: int | None = None,
    ) -> Average:
        """Average a metric over the seeds."""
        tables = []
        for one in self._tasks(task):
            by_block_seed: dict[int, list[float]] = {}
            for result in self.of(representation, one, head, labels):
                values = by_block_seed.setdefault(result.block_seed, [])
                values.append(getattr(result.metrics, name))
            tables.append(list(by_block_seed.values()))
        return Average.over(np.sum(tables, axis=0))

    def draws(
        self,
        representation: str,
        task: str | None = None,
        labels: int | None = None,
        among: Sequence[HeadName] | None = None,
    ) -> np.ndarray:
        """Average the score of each bootstrap draw over the seeds: shape (n_draws,)."""
        means = []
        for one in self._tasks(task):
            head = self.chosen(representation, one, labels, among)
            results = self.of(representation, one, head, labels)
            means.append(np.mean([result.drawn for result in results], axis=0, dtype=np.float64))
        summed: np.ndarray = np.sum(means, axis=0)
        return summed

    def interval(
        self, representation: str, task: str | None = None, labels: int | None = None
    ) -> tuple[float, float]:
        """Return the 95% interval of a score over draws of clients."""
        low, high = np.quantile(self.draws(representation, task, labels), _TAILS)
        return float(low), float(high)

    def gain(
        self, one: str, over: str, task: str | None = None, among: Sequence[HeadName] | None = None
    ) -> Difference:
        """Compare two representations.

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
        """Compare the profile with itself without a block, both by the latter's head."""
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
        """The evaluated representation: foreign embeddings, or else the profile."""
        return (self.of_kind("foreign") or self.of_kind("profile") or self.ranked())[0]

    def ranked(self) -> list[RepresentationInfo]:
        """Return all representations except profiles without a block, best first."""
        infos = self.of_kind("profile", "compact", "foreign", "block", "baseline")
        return sorted(infos, key=lambda info: -self.score(info.name).mean)

    def budgeted(self) -> list[RepresentationInfo]:
        """Return the representations that were also fitted with fewer labels, best first."""
        fewer = {result.representation for result in self.results if result.labels is not None}
        return [info for info in self.ranked() if info.name in fewer]

    def best(self) -> dict[str | None, float]:
        """Return the best mean score of :meth:`ranked` by task, and of the sum (None)."""
        return {
            task: max(self.score(info.name, task).mean for info in self.ranked())
            for task in (*(info.name for info in self.tasks), None)
        }

    def of_kind(self, *kinds: Kind) -> list[RepresentationInfo]:
        """Return the representations of some kinds, in their order."""
        return [info for info in self.representations if info.kind in kinds]
