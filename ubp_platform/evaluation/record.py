"""What an evaluation leaves behind, for `ubp evaluate --json FILE` and for the report."""

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
    *(
        "ubp-platform",
        "duckdb",
        "feast",
        "implicit",
        "lightfm-next",
        "numpy",
        "scikit-learn",
        "scipy",
    ),
    *("torch", "transformers"),
)


class BlockRecord(BaseModel):
    """A block of the profile that was evaluated.

    Parameters
    ----------
    name, version : str
    width : int
        Numbers in the profile.
    fitted : bool
        Whether it was fitted for this evaluation; False where it was there.
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
    """An evaluation: what was compared on what, how it was made, and the scores.

    Parameters
    ----------
    made_at : datetime
    home : str
    source : str
        Where the warehouse's events came from.
    cutoff, validation_start, end : datetime
        The split: the input ends and the train window starts at the first, the validation window
        starts at the second and ends with the third.
    clients : int
    clients_from : str, optional
        The file that lists them; None: all clients with an event in the input.
    unknown : int
        Of these clients, how many have no profile; they get the mean one.
    profile : str, optional
        The version below ``evaluation/profiles``, of several block seeds that of the first; None
        where none was evaluated.
    preset : str, optional
    blocks : list of BlockRecord
    unavailable_blocks, unavailable_tasks : dict of str to str
        What was left out, with the reason.
    scores : Scores
    summary : Summary
    machine : str
    versions : dict of str to str
        Of the packages that scores depend on.
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
    blocks: list[BlockRecord]
    unavailable_blocks: dict[str, str]
    unavailable_tasks: dict[str, str]
    scores: Scores
    summary: Summary
    machine: str
    versions: dict[str, str]


def machine() -> str:
    """Name the machine: cores, processor, Python."""
    return (
        f"{os.cpu_count()} cores, {platform.machine()}, {platform.system()}, "
        f"Python {platform.python_version()}"
    )


def package_versions() -> dict[str, str]:
    """Give the versions of the packages that scores depend on."""
    return {name: version(name) for name in _PACKAGES}
