"""The protocol: every representation on every task, by every head, with one seed or several."""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.calibration import calibration_curve
from sklearn.metrics import roc_curve

from ubp_platform.choices import NetworkName
from ubp_platform.evaluation import bootstrap, network
from ubp_platform.evaluation import kept as store
from ubp_platform.evaluation.bootstrap import Bootstrap
from ubp_platform.evaluation.heads import Head, HeadName, Labelled, make
from ubp_platform.evaluation.heads.base import Advance
from ubp_platform.evaluation.metrics import measure
from ubp_platform.evaluation.network import NETWORKS
from ubp_platform.evaluation.plan import Job, Plan
from ubp_platform.evaluation.representations import Representation
from ubp_platform.evaluation.scores import Curves, RepresentationInfo, Result, Scores, TaskInfo
from ubp_platform.evaluation.tasks import Task
from ubp_platform.progress import ProgressFactory, silent

_ROC_POINTS, _BINS = 101, 10
# Of a fit, on a progress bar; a power of two, so that they sum to 1 exactly.
_STEPS = 1024


def run(
    representations: Sequence[Representation],
    tasks: Sequence[Task],
    size: NetworkName = "paper",
    plan: Plan = Plan(),
    kept: Path | None = None,
    progress: ProgressFactory = silent,
) -> Scores:
    """Fit and judge heads for every representation and task.

    Parameters
    ----------
    representations : sequence of Representation
        Of the same clients. One name may stand for several, with different block seeds.
    tasks : sequence of Task
        Asked of these clients.
    size : {"paper", "small"}
        The network.
    plan : Plan
        The protocol, heads, seeds and label budgets.
    kept : Path, optional
        A directory that keeps every result under a name that follows from all that it depends on:
        what is there is not computed again.
    progress : ProgressFactory
    """
    draws = Bootstrap(representations[0].clients, bootstrap.DRAWS)
    judge = _Judge(plan, size, draws)
    labels = {task.name: store.digest(task) for task in tasks}
    jobs = list(plan.jobs(representations, tasks))
    # By name; equal vectors have one, whatever they are called.
    names = [judge.name(job, labels[job.task.name]) for job in jobs]
    wanted: dict[str, Job] = {}
    for name, job in zip(names, jobs, strict=True):
        wanted.setdefault(name, job)
    results = {name: found for name in wanted if kept and (found := store.read(kept, name))}
    missing = {name: job for name, job in wanted.items() if name not in results}
    reused = sum(name in results for name in names)
    if missing:
        with progress(f"{len(missing):,} fits", len(missing), "fits") as advance:
            for name, job in missing.items():
                results[name] = judge.result(job, one := _One(advance))
                one.finish()
                if kept:
                    store.write(kept, name, results[name])
    return Scores(
        protocol=plan.protocol,
        network=size,
        heads=list(plan.heads),
        seeds=list(plan.seeds),
        block_seeds=sorted({made.block_seed for made in representations}),
        budgets=list(plan.budgets),
        tasks=[TaskInfo.of(task) for task in tasks],
        representations=list({r.name: RepresentationInfo.of(r) for r in representations}.values()),
        results=[
            results[name].model_copy(
                update={
                    "representation": job.representation.name,
                    "block_seed": job.representation.block_seed,
                    "task": job.task.name,
                }
            )
            for name, job in zip(names, jobs, strict=True)
        ],
        reused=reused,
    )


class _One:
    """Advances a bar by shares of one fit, in the end by exactly one: in steps without rounding."""

    def __init__(self, advance: Advance) -> None:
        self._advance, self._done, self._shown = advance, 0.0, 0.0

    def __call__(self, share: float) -> None:
        self._done += share
        self._show(min(1, int(self._done * _STEPS) / _STEPS))

    def finish(self) -> None:
        """Advance by what is left."""
        self._show(1)

    def _show(self, share: float) -> None:
        self._advance(share - self._shown)
        self._shown = share


class _Judge:
    """Fits and judges what a plan asks for."""

    def __init__(self, plan: Plan, size: NetworkName, draws: Bootstrap) -> None:
        self._plan, self._size, self._draws = plan, size, draws
        self._heads: dict[HeadName, Head] = {name: make(name, size) for name in plan.heads}

    def name(self, job: Job, labels: str) -> str:
        """Name the result of a job."""
        head, protocol = self._heads[job.head], self._plan.protocol
        return store.name_of(job, labels, head, protocol, self._draws)

    def result(self, job: Job, advance: Advance) -> Result:
        """Fit and judge."""
        fit = self._challenge if self._plan.protocol == "challenge" else self._holdout
        result, probabilities = fit(job, advance)
        draws = self._draws.scores(job.task, probabilities, self._plan.skips_undefined)
        curves = _curves(job.task, probabilities) if job.task.classes is None else None
        return result.model_copy(update={"draws": draws.tobytes(), "curves": curves})

    def _holdout(self, job: Job, advance: Advance) -> tuple[Result, np.ndarray]:
        start = time.perf_counter()
        labelled = Labelled.of(job.task, job.labels, job.seed)
        predicted = self._heads[job.head].fit(
            job.representation, labelled, job.task.rows, job.seed, advance
        )
        said = predicted.probabilities
        metrics = measure(job.task, torch.from_numpy(said), self._plan.skips_undefined)
        result = Result(
            **_about(job),
            choice=predicted.choice,
            inner=predicted.inner,
            metrics=metrics,
            seconds=round(time.perf_counter() - start, 3),
        )
        return result, said

    def _challenge(self, job: Job, advance: Advance) -> tuple[Result, np.ndarray]:
        rows = len(job.task.rows) * NETWORKS[self._size].epochs
        fitted = network.fit(
            *(job.representation, job.task, self._size, job.seed),
            lambda amount: advance(amount / rows),
        )
        result = Result(
            **_about(job),
            choice=f"epoch {fitted.best_epoch + 1}",
            metrics=fitted.best,
            epochs=fitted.epochs,
            seconds=round(fitted.seconds, 3),
        )
        return result, fitted.probabilities


def _about(job: Job) -> dict[str, Any]:
    return {
        "representation": job.representation.name,
        "block_seed": job.representation.block_seed,
        "task": job.task.name,
        "head": job.head,
        "labels": job.labels,
        "seed": job.seed,
    }


def _curves(task: Task, probabilities: np.ndarray) -> Curves:
    yes, said = task.validation[:, 0], probabilities[:, 0]
    false_positives, true_positives, _ = roc_curve(yes, said)
    even = np.linspace(0, 1, _ROC_POINTS)
    observed, predicted = calibration_curve(yes, said, n_bins=_BINS, strategy="quantile")
    return Curves(
        false_positives=_rounded(even),
        true_positives=_rounded(np.interp(even, false_positives, true_positives)),
        predicted=_rounded(predicted),
        observed=_rounded(observed),
    )


def _rounded(values: np.ndarray) -> list[float]:
    return [round(float(value), 5) for value in values]
