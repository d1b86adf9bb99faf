"""The challenge's protocol: every representation on every task, with one seed or several."""

import hashlib
import json
from collections.abc import Sequence
from itertools import product
from pathlib import Path

import numpy as np
import torch
from pydantic import ValidationError
from sklearn.calibration import calibration_curve
from sklearn.metrics import roc_curve

from ubp_platform.blocks.training import device
from ubp_platform.evaluation import network
from ubp_platform.evaluation.network import BATCH, LEARNING_RATE, NETWORKS, SEED, NetworkName
from ubp_platform.evaluation.representations import Representation
from ubp_platform.evaluation.scores import Curves, RepresentationInfo, Result, Scores, TaskInfo
from ubp_platform.evaluation.tasks import Task
from ubp_platform.home import write_whole
from ubp_platform.progress import ProgressFactory, silent

#: Raised with each change that gives other scores for the same vectors and labels.
REVISION = 1
_ROC_POINTS, _BINS = 101, 10


def run(
    representations: Sequence[Representation],
    tasks: Sequence[Task],
    size: NetworkName = "paper",
    seeds: Sequence[int] = (SEED,),
    kept: Path | None = None,
    progress: ProgressFactory = silent,
) -> Scores:
    """Fit and judge a network for every representation, task and seed.

    Parameters
    ----------
    representations : sequence of Representation
        Of the same clients, by different names.
    tasks : sequence of Task
        Asked of these clients.
    size : {"paper", "small"}
        The network.
    seeds : sequence of int
    kept : Path, optional
        A directory that keeps every result under a name that follows from all that it depends on:
        what is there is not computed again.
    progress : ProgressFactory
    """
    labels = {task.name: _digest(task) for task in tasks}
    # By name; equal vectors have one, whatever they are called.
    names: list[str] = []
    results: dict[str, Result] = {}
    missing: dict[str, tuple[Representation, Task, int]] = {}
    for representation, task, seed in product(representations, tasks, seeds):
        made_of = [representation.identity, labels[task.name], NETWORKS[size], seed]
        made_of += [BATCH, LEARNING_RATE, REVISION, torch.__version__, device().type]
        name = hashlib.sha256(json.dumps(made_of).encode()).hexdigest()
        names.append(name)
        if name in results or name in missing:
            continue
        if kept and (known := _read(_path(kept, name))):
            results[name] = known
        else:
            missing[name] = (representation, task, seed)
    reused = sum(name in results for name in names)
    rows = sum(len(task.rows) for _, task, _ in missing.values()) * NETWORKS[size].epochs
    if missing:
        with progress(f"{len(missing)} networks", rows, "rows") as advance:
            for name, (representation, task, seed) in missing.items():
                fitted = network.fit(representation, task, size, seed, advance)
                results[name] = _result(representation, task, seed, fitted)
                if kept:
                    kept.mkdir(parents=True, exist_ok=True)
                    write_whole(_path(kept, name), results[name].model_dump_json())
    order = product(representations, tasks, seeds)
    return Scores(
        network=size,
        seeds=list(seeds),
        tasks=[TaskInfo.of(task) for task in tasks],
        representations=[
            RepresentationInfo(name=r.name, kind=r.kind, width=r.width) for r in representations
        ],
        results=[
            results[name].model_copy(update={"representation": who.name, "task": task.name})
            for name, (who, task, _) in zip(names, order, strict=True)
        ],
        reused=reused,
    )


def _read(path: Path) -> Result | None:
    """Read a result that was kept; one that was cut off by a power failure is made again."""
    try:
        return Result.model_validate_json(path.read_text())
    except (FileNotFoundError, ValidationError):
        return None


def _path(kept: Path, name: str) -> Path:
    return kept / f"{name}.json"


def _digest(task: Task) -> str:
    """Name a task's questions and answers: equal names, equal tasks, whatever they are called."""
    digest = hashlib.sha256(task.kind.encode())
    digest.update(np.ascontiguousarray(task.rows).data)
    digest.update(np.packbits(task.train, axis=None).data)
    digest.update(np.packbits(task.validation, axis=None).data)
    if task.classes is not None:
        digest.update(np.ascontiguousarray(task.classes.popularity).data)
    return digest.hexdigest()


def _result(
    representation: Representation, task: Task, seed: int, fitted: network.Fitted
) -> Result:
    return Result(
        representation=representation.name,
        task=task.name,
        seed=seed,
        epochs=fitted.epochs,
        best_epoch=fitted.best_epoch,
        seconds=round(fitted.seconds, 3),
        curves=_curves(task, fitted.probabilities) if task.classes is None else None,
    )


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
