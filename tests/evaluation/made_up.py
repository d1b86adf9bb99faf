"""Made-up scores whose statistics can be computed by hand."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ubp_platform.evaluation.metrics import Metrics
from ubp_platform.evaluation.representations import Kind
from ubp_platform.evaluation.results import RepresentationInfo, Result, TaskInfo
from ubp_platform.evaluation.scores import Scores


def result(name: str, task: str, auroc: float, draws: Sequence[float] = (), **rest: Any) -> Result:
    """Make up a result; by default every draw has its score."""
    given = {"head": "logistic", "seed": 0, "choice": "", "inner": 0.5, "seconds": 1.0, **rest}
    drawn = np.array(draws if len(draws) else [auroc] * 4, np.float32)
    metrics = Metrics(auroc=auroc)
    return Result(representation=name, task=task, metrics=metrics, draws=drawn.tobytes(), **given)


def scores_of(results: Sequence[Result], kinds: Mapping[str, Kind] | None = None) -> Scores:
    """Combine results; representations without a kind are blocks."""
    names = dict.fromkeys(one.representation for one in results)
    return Scores(
        protocol="holdout",
        network="small",
        heads=list(dict.fromkeys(one.head for one in results)),
        seeds=sorted({one.seed for one in results}),
        block_seeds=sorted({one.block_seed for one in results}),
        budgets=sorted({one.labels for one in results if one.labels}),
        tasks=[
            TaskInfo(name=task, clients=9, classes=1, train=0.5, validation=0.5, unanswerable=0)
            for task in dict.fromkeys(one.task for one in results)
        ],
        representations=[
            RepresentationInfo(name=name, kind=(kinds or {}).get(name, "block"), width=3)
            for name in names
        ],
        results=list(results),
        reused=0,
    )
