"""The record of an evaluation, for `ubp evaluate --json FILE` and for the report."""

import os
import platform
from datetime import datetime
from importlib.metadata import version
from typing import Any

from pydantic import BaseModel

from ubp_platform.blocks.fit_report import FitReport
from ubp_platform.evaluation.scores import Scores
from ubp_platform.evaluation.summary import Summary

_PACKAGES = (
    "ubp-platform",
    "duckdb",
    "feast",
    "implicit",
    "lightfm-next",
    "numpy",
    "scikit-learn",
    "scipy",
    "torch",
    "transformers",
)


class BlockRecord(BaseModel):
    """A block of the evaluated profile.

    Parameters
    ----------
    name, version : str
    width : int
    fitted : bool
        Whether it was fitted for this evaluation, rather than reused.
    params : dict
    report : FitReport
    """

    name: str
    version: str
    width: int
    fitted: bool
    params: dict[str, Any]
    report: FitReport


class Evaluation(BaseModel):
    """An evaluation: its input, how it was run, and its scores.

    Parameters
    ----------
    made_at : datetime
    home : str
    source : str
        Sources of the warehouse's events.
    cutoff, validation_start, end : datetime
        The split: end of the input and start of the train window; start of the validation window;
        its last event.
    clients : int
    clients_from : str, optional
        The file that lists the clients; None: all clients with an event in the input.
    unknown : int
        Number of clients without a profile; they get the mean one.
    profile : str, optional
        The version in ``evaluation/profiles``, that of the first block seed; None if no profile
        was evaluated.
    preset : str, optional
    as_delivered : bool
        Whether the input has only what had been delivered by its end.
    blocks : list of BlockRecord
    unavailable_blocks, unavailable_tasks : dict of str to str
        What was left out, with the reasons.
    scores : Scores
    summary : Summary
    machine : str
    versions : dict of str to str
        Versions of the packages that scores depend on.
    """

    made_at: datetime
    home: str
    source: str
    cutoff: datetime
    validation_start: datetime
    end: datetime
    clients: int
    clients_from: str | None
    unknown: int
    profile: str | None
    preset: str | None
    as_delivered: bool = False
    blocks: list[BlockRecord]
    unavailable_blocks: dict[str, str]
    unavailable_tasks: dict[str, str]
    scores: Scores
    summary: Summary
    machine: str
    versions: dict[str, str]


def machine() -> str:
    """Describe the machine: cores, processor, Python."""
    return (
        f"{os.cpu_count()} cores, {platform.machine()}, {platform.system()}, "
        f"Python {platform.python_version()}"
    )


def package_versions() -> dict[str, str]:
    """Return the versions of the packages that scores depend on."""
    return {name: version(name) for name in _PACKAGES}
