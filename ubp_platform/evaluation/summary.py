"""Scores and differences of an evaluation as plain numbers, for programs that read its JSON."""

from collections.abc import Iterator

from pydantic import BaseModel

from ubp_platform.evaluation.heads import HeadName
from ubp_platform.evaluation.scores import Scores


class ScoreSummary(BaseModel):
    """The score of a representation on a task, or on the sum over all tasks (None).

    Parameters
    ----------
    representation : str
    task : str, optional
    head : str, optional
        The chosen head; None for a sum, which may combine several.
    by_head : dict of str to float
        Mean score per head.
    mean : float
        Mean of the chosen head over all seeds.
    deviation, block_deviation : float
        Over the seeds of the head, and of the blocks; 0 with a single seed.
    low, high : float
        The 95% interval over draws of clients.
    auroc : float
    novelty, diversity : float, optional
        For propensity tasks.
    """

    representation: str
    task: str | None
    head: HeadName | None
    by_head: dict[HeadName, float]
    mean: float
    deviation: float
    block_deviation: float
    low: float
    high: float
    auroc: float
    novelty: float | None
    diversity: float | None


class DifferenceSummary(BaseModel):
    """The difference between two representations, see ``Difference``."""

    one: str
    over: str
    task: str | None
    mean: float
    low: float
    high: float
    ahead: float


class BudgetSummary(BaseModel):
    """A score with a number of labelled clients (None: all of them)."""

    representation: str
    task: str | None
    labels: int | None
    head: HeadName | None
    mean: float
    low: float
    high: float


class Summary(BaseModel):
    """Scores, differences between representations, and scores with fewer labels.

    Parameters
    ----------
    scores : list of ScoreSummary
    differences : list of DifferenceSummary
        Between the evaluated representation and every other one; and between the profile and itself
        without each block, by the head that both have.
    budgets : list of BudgetSummary
    """

    scores: list[ScoreSummary]
    differences: list[DifferenceSummary]
    budgets: list[BudgetSummary]


def summarize(scores: Scores) -> Summary:
    """Compute the summary of an evaluation's scores."""
    tasks = (*(info.name for info in scores.tasks), None)
    return Summary(
        scores=[
            _score(scores, info.name, task) for info in scores.representations for task in tasks
        ],
        differences=[gain for task in tasks for gain in _differences(scores, task)],
        budgets=[row for task in tasks for row in _budgets(scores, task)],
    )


def _score(scores: Scores, name: str, task: str | None) -> ScoreSummary:
    mean, deviation, between = scores.score(name, task)
    low, high = scores.interval(name, task)
    multilabel = task is not None and scores.of(name, task)[0].metrics.novelty is not None
    return ScoreSummary(
        representation=name,
        task=task,
        head=scores.chosen(name, task) if task else None,
        by_head={head: scores.score(name, task, head).mean for head in scores.heads_of(name)},
        mean=mean,
        deviation=deviation,
        block_deviation=between,
        low=low,
        high=high,
        auroc=scores.metric("auroc", name, task).mean,
        novelty=scores.metric("novelty", name, task).mean if multilabel else None,
        diversity=scores.metric("diversity", name, task).mean if multilabel else None,
    )


def _differences(scores: Scores, task: str | None) -> Iterator[DifferenceSummary]:
    subject = scores.subject.name
    for info in scores.ranked():
        if info.name != subject:
            gain = scores.gain(subject, info.name, task)
            yield DifferenceSummary(one=subject, over=info.name, task=task, **gain._asdict())
    for info in scores.of_kind("without"):
        lost = scores.lost(info.name, task)
        yield DifferenceSummary(one="profile", over=info.name, task=task, **lost._asdict())


def _budgets(scores: Scores, task: str | None) -> Iterator[BudgetSummary]:
    clients = {info.name: info.clients for info in scores.tasks}
    for info in scores.budgeted():
        for labels in (*scores.budgets, None):
            if task and labels and labels >= clients[task]:
                continue
            low, high = scores.interval(info.name, task, labels)
            yield BudgetSummary(
                representation=info.name,
                task=task,
                labels=labels,
                head=scores.chosen(info.name, task, labels) if task else None,
                mean=scores.score(info.name, task, labels=labels).mean,
                low=low,
                high=high,
            )
