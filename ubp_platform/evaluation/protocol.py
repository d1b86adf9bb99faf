"""Run an evaluation: every representation on every task, by every head, with every seed."""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.calibration import calibration_curve
from sklearn.metrics import roc_curve

from ubp_platform.choices import NetworkName
from ubp_platform.evaluation import bootstrap, network, result_cache
from ubp_platform.evaluation.bootstrap import Bootstrap
from ubp_platform.evaluation.heads import Head, HeadName, Labelled, make_head
from ubp_platform.evaluation.heads.base import Advance
from ubp_platform.evaluation.metrics import measure
from ubp_platform.evaluation.network import NETWORKS
from ubp_platform.evaluation.plan import EvaluationPlan, Job
from ubp_platform.evaluation.representations import Representation
from ubp_platform.evaluation.results import Curves, RepresentationInfo, Result, TaskInfo
from ubp_platform.evaluation.scores import Scores
from ubp_platform.evaluation.tasks import Task
from ubp_platform.progress import ProgressFactory, logged

_ROC_POINTS, _BINS = 101, 10
# Steps of a fit on a progress bar; a power of two, so that the shares sum to 1 exactly.
_STEPS = 1024


def run(
    representations: Sequence[Representation],
    tasks: Sequence[Task],
    size: NetworkName = "paper",
    plan: EvaluationPlan = EvaluationPlan(),
    cache: Path | None = None,
    progress: ProgressFactory = logged,
) -> Scores:
    """Fit and score heads for every representation and task.

    Parameters
    ----------
    representations : sequence of Representation
        Of the same clients. Several may share a name, with different block seeds.
    tasks : sequence of Task
        Of these clients.
    size : {"paper", "small"}
        Size of the network.
    plan : EvaluationPlan
    cache : Path, optional
        A directory of results by :func:`~ubp_platform.evaluation.result_cache.result_key`; existing
        ones are reused, new ones are stored.
    progress : ProgressFactory
    """
    scorer = _Scorer(plan, size, Bootstrap(representations[0].clients, bootstrap.DRAWS))
    digests = {task.name: result_cache.task_digest(task) for task in tasks}
    jobs = list(plan.jobs(representations, tasks))
    # Equal vectors have equal keys, whatever their representations are called.
    keys = [scorer.key(job, digests[job.task.name]) for job in jobs]
    distinct: dict[str, Job] = {}
    for key, job in zip(keys, jobs, strict=True):
        distinct.setdefault(key, job)
    results = {
        key: result for key in distinct if cache and (result := result_cache.read(cache, key))
    }
    reused = sum(key in results for key in keys)
    missing = {key: job for key, job in distinct.items() if key not in results}
    if missing:
        with progress(f"{len(missing):,} fits", len(missing), "fits") as advance:
            for key, job in missing.items():
                results[key] = scorer.result(job, one := _FitProgress(advance))
                one.finish()
                if cache:
                    result_cache.write(cache, key, results[key])
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
            results[key].model_copy(update=_names(job)) for key, job in zip(keys, jobs, strict=True)
        ],
        reused=reused,
    )


class _FitProgress:
    """Advances a progress bar by shares of one fit: by exactly 1 in total, without rounding."""

    def __init__(self, advance: Advance) -> None:
        self._advance, self._done, self._shown = advance, 0.0, 0.0

    def __call__(self, share: float) -> None:
        self._done += share
        self._show(min(1, int(self._done * _STEPS) / _STEPS))

    def finish(self) -> None:
        """Advance by the rest."""
        self._show(1)

    def _show(self, share: float) -> None:
        self._advance(share - self._shown)
        self._shown = share


class _Scorer:
    """Fits and scores the jobs of a plan."""

    def __init__(self, plan: EvaluationPlan, size: NetworkName, bootstrap: Bootstrap) -> None:
        self._plan, self._size, self._bootstrap = plan, size, bootstrap
        self._heads: dict[HeadName, Head] = {name: make_head(name, size) for name in plan.heads}

    def key(self, job: Job, labels: str) -> str:
        """Return the key of a job's result."""
        return result_cache.result_key(
            job=job,
            labels=labels,
            head=self._heads[job.head],
            protocol=self._plan.protocol,
            bootstrap=self._bootstrap,
        )

    def result(self, job: Job, advance: Advance) -> Result:
        """Fit and score a job."""
        fit = self._challenge if self._plan.protocol == "challenge" else self._holdout
        outcome, probabilities = fit(job, advance)
        draws = self._bootstrap.scores(job.task, probabilities, self._plan.skips_undefined)
        return Result(
            **_names(job),
            **outcome,
            head=job.head,
            labels=job.labels,
            seed=job.seed,
            curves=_curves(job.task, probabilities) if job.task.classes is None else None,
            draws=draws.tobytes(),
        )

    def _holdout(self, job: Job, advance: Advance) -> tuple[dict[str, Any], np.ndarray]:
        start = time.perf_counter()
        predicted = self._heads[job.head].fit(
            representation=job.representation,
            labelled=Labelled.of(job.task, job.labels, job.seed),
            rows=job.task.rows,
            seed=job.seed,
            advance=advance,
        )
        probabilities = torch.from_numpy(predicted.probabilities)
        metrics = measure(job.task, probabilities, self._plan.skips_undefined)
        outcome = {
            "choice": predicted.choice,
            "inner": predicted.inner,
            "metrics": metrics,
            "seconds": round(time.perf_counter() - start, 3),
        }
        return outcome, predicted.probabilities

    def _challenge(self, job: Job, advance: Advance) -> tuple[dict[str, Any], np.ndarray]:
        rows = len(job.task.rows) * NETWORKS[self._size].epochs
        fitted = network.fit(
            representation=job.representation,
            task=job.task,
            network=self._size,
            seed=job.seed,
            advance=lambda amount: advance(amount / rows),
        )
        outcome = {
            "choice": f"epoch {fitted.best_epoch + 1}",
            "metrics": fitted.best,
            "epochs": fitted.epochs,
            "seconds": round(fitted.seconds, 3),
        }
        return outcome, fitted.probabilities


def _names(job: Job) -> dict[str, Any]:
    """What the key of a result leaves out."""
    return {
        "representation": job.representation.name,
        "block_seed": job.representation.block_seed,
        "task": job.task.name,
    }


def _curves(task: Task, probabilities: np.ndarray) -> Curves:
    labels, predictions = task.validation[:, 0], probabilities[:, 0]
    false_positives, true_positives, _ = roc_curve(labels, predictions)
    even = np.linspace(0, 1, _ROC_POINTS)
    observed, predicted = calibration_curve(labels, predictions, n_bins=_BINS, strategy="quantile")
    return Curves(
        false_positives=_rounded(even),
        true_positives=_rounded(np.interp(even, false_positives, true_positives)),
        predicted=_rounded(predicted),
        observed=_rounded(observed),
    )


def _rounded(values: np.ndarray) -> list[float]:
    return [round(float(value), 5) for value in values]
