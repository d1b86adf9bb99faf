"""A shop to evaluate profiles of, and what ``ubp evaluate`` says and keeps."""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.pipelines.commands import Outcome
from ubp_platform.evaluation.network import NETWORKS, Size

CLIENTS = 300
BLOCKS = ["ials_categories", "handcrafted"]
Ubp = Callable[..., Outcome]


@contextmanager
def thin_networks() -> Iterator[None]:
    """Tiny networks, of both sizes."""
    with pytest.MonkeyPatch.context() as patch:
        for name, size in {"small": Size(8, 16, 3), "paper": Size(16, 32, 3)}.items():
            patch.setitem(NETWORKS, name, size)
        yield


@contextmanager
def no_report() -> Iterator[None]:
    """Evaluate without pictures, which take longer than all the rest."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("pipelines.evaluate.write_report", lambda *arguments: None)
        yield


def score(result: dict[str, Any]) -> float:
    best = result["epochs"][result["best_epoch"]]
    if best["novelty"] is None:
        return best["auroc"]
    return 0.8 * best["auroc"] + 0.1 * best["novelty"] + 0.1 * best["diversity"]


def by_hand(found: dict[str, Any]) -> dict[str, dict[str, list[float]]]:
    """Take scores by representation, task and seed from a record."""
    scores: dict[str, dict[str, list[float]]] = {}
    for result in found["scores"]["results"]:
        of_tasks = scores.setdefault(result["representation"], {})
        of_tasks.setdefault(result["task"], []).append(score(result))
    return scores


def assert_one_line(outcome: Outcome, message: str) -> None:
    assert outcome.code == 2, outcome
    lines = outcome.err.strip().splitlines()
    assert len(lines) == 1, outcome.err
    assert re.match(f"error: .*{message}", lines[0]), lines[0]
