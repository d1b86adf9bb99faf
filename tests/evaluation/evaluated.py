"""A small shop and fast settings for evaluations, and checks of their output."""

import math
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from statistics import fmean
from typing import Any

import pytest

from tests.pipelines.commands import Outcome
from ubp_platform.evaluation import bootstrap
from ubp_platform.evaluation.heads import boosting, logistic, regularization_path
from ubp_platform.evaluation.network import NETWORKS, NetworkSize

CLIENTS = 300
BLOCKS = ["ials_categories", "handcrafted"]
Ubp = Callable[..., Outcome]


@contextmanager
def thin_networks() -> Iterator[None]:
    """Tiny networks, two penalties, few steps, few trees of frequent classes, few draws."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(boosting, "ITERATIONS", 3)
        patch.setattr(boosting, "FEWEST", 60)
        patch.setattr(logistic, "SHARED", (1.0, 1e-2))
        patch.setattr(logistic, "OWN", (math.inf, 1e-2))
        patch.setattr(logistic, "FEW", 100)
        patch.setattr(regularization_path, "ITERATIONS", 3)
        patch.setattr(bootstrap, "DRAWS", 12)
        for name, size in {"small": NetworkSize(8, 16, 2), "paper": NetworkSize(16, 32, 2)}.items():
            patch.setitem(NETWORKS, name, size)
        yield


@contextmanager
def no_report() -> Iterator[None]:
    """Evaluate without the report, which takes longer than everything else."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("pipelines.evaluate.write_report", lambda *arguments: None)
        yield


def score(result: dict[str, Any]) -> float:
    found = result["metrics"]
    if found["novelty"] is None:
        return found["auroc"]
    return 0.8 * found["auroc"] + 0.1 * found["novelty"] + 0.1 * found["diversity"]


def by_hand(found: dict[str, Any]) -> dict[str, dict[str, list[float]]]:
    """Compute scores by representation, task and seed from a record: those of the chosen heads."""
    results: dict[tuple[str, str], dict[str, list[dict[str, Any]]]] = {}
    for result in found["scores"]["results"]:
        if result["labels"] is None:
            heads = results.setdefault((result["representation"], result["task"]), {})
            heads.setdefault(result["head"], []).append(result)
    scores: dict[str, dict[str, list[float]]] = {}
    for (name, task), heads in results.items():
        best = max(heads.values(), key=lambda of: fmean(one["inner"] or 0 for one in of))
        scores.setdefault(name, {})[task] = [score(one) for one in best]
    return scores


def assert_one_line(outcome: Outcome, message: str) -> None:
    assert outcome.code == 2, outcome
    lines = outcome.err.strip().splitlines()
    assert len(lines) == 1, outcome.err
    assert re.match(f"error: .*{message}", lines[0]), lines[0]
