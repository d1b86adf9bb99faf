"""What an evaluation found: results, and what follows from them over seeds and tasks."""

from collections.abc import Sequence
from statistics import fmean, stdev
from typing import Literal, NamedTuple

from pydantic import BaseModel, computed_field

from ubp_platform.evaluation.metrics import Metrics, borda
from ubp_platform.evaluation.representations import Kind
from ubp_platform.evaluation.tasks import Task


class Curves(BaseModel):
    """Curves of a binary task: the ROC at even false positive rates, and calibration in bins."""

    false_positives: list[float]
    true_positives: list[float]
    predicted: list[float]
    observed: list[float]


class Result(BaseModel):
    """One network, fitted and judged.

    Parameters
    ----------
    representation, task : str
    seed : int
    epochs : list of Metrics
    best_epoch : int
        The one that counts, from 0.
    seconds : float
        Fitting and judging, when it was computed.
    curves : Curves, optional
        Of the best epoch of a binary task.
    """

    representation: str
    task: str
    seed: int
    epochs: list[Metrics]
    best_epoch: int
    seconds: float
    curves: Curves | None

    @property
    def best(self) -> Metrics:
        """The metrics of the best epoch."""
        return self.epochs[self.best_epoch]


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
        Classes without a yes (or a no) in the validation window; their AUROC counts 0.
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


class Average(NamedTuple):
    """A mean over seeds, and the standard deviation: 0 of one seed."""

    mean: float
    deviation: float

    @classmethod
    def over(cls, values: Sequence[float]) -> "Average":
        """Average some values."""
        return cls(fmean(values), stdev(values) if len(values) > 1 else 0.0)


class Scores(BaseModel):
    """Scores of every representation on every task.

    Parameters
    ----------
    network : {"paper", "small"}
    seeds : list of int
    tasks : list of TaskInfo
    representations : list of RepresentationInfo
    results : list of Result
    reused : int
        How many of the results were there before.
    """

    network: Literal["paper", "small"]
    seeds: list[int]
    tasks: list[TaskInfo]
    representations: list[RepresentationInfo]
    results: list[Result]
    reused: int

    @computed_field  # type: ignore[prop-decorator]
    @property
    def sums(self) -> dict[str, float]:
        """The sum over the tasks of each representation, averaged over the seeds."""
        return {info.name: self.score(info.name).mean for info in self.representations}

    def of(self, representation: str, task: str) -> list[Result]:
        """Give the results of a representation on a task, one a seed."""
        return [
            result
            for result in self.results
            if result.representation == representation and result.task == task
        ]

    def score(self, representation: str, task: str | None = None) -> Average:
        """Average a score over the seeds; without a task the sum over all tasks."""
        return Average.over(self._by_seed(representation, task))

    def gain(self, representation: str, over: str, task: str | None = None) -> Average:
        """Average how much better one is than another, with the same seeds."""
        pairs = zip(self._by_seed(representation, task), self._by_seed(over, task), strict=True)
        return Average.over([mine - other for mine, other in pairs])

    def _by_seed(self, representation: str, task: str | None) -> list[float]:
        tasks = [task] if task else [info.name for info in self.tasks]
        scores = [[result.best.score for result in self.of(representation, name)] for name in tasks]
        return [sum(of_seed) for of_seed in zip(*scores, strict=True)]

    def borda(self, names: Sequence[str]) -> dict[str, int]:
        """Count Borda points among some representations, by their mean scores."""
        return borda(
            {
                name: {info.name: self.score(name, info.name).mean for info in self.tasks}
                for name in names
            }
        )

    def ranked(self) -> list[RepresentationInfo]:
        """Give what stands for itself (a profile without one block does not), best first."""
        found = self.of_kind("profile", "foreign", "block", "baseline")
        return sorted(found, key=lambda info: -self.score(info.name).mean)

    def best(self) -> dict[str | None, float]:
        """Give the best mean score of :meth:`ranked` by task; of the sum by None."""
        return {
            task: max(self.score(info.name, task).mean for info in self.ranked())
            for task in (*(info.name for info in self.tasks), None)
        }

    def of_kind(self, *kinds: Kind) -> list[RepresentationInfo]:
        """Give the representations of some kinds, in their order."""
        return [info for info in self.representations if info.kind in kinds]
