"""A step of the benchmark."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path


@dataclass
class Done:
    """The outcome of a step.

    Parameters
    ----------
    items : int
        Number of processed items.
    unit : str
        What the items are.
    seconds : float, optional
        If not the full time of the process.
    baseline_seconds : float, optional
        Time of the baseline, if that has to run in the same process.
    also : dict of str to float
        Other figures.
    """

    items: int
    unit: str
    seconds: float | None = None
    baseline_seconds: float | None = None
    also: dict[str, float] = field(default_factory=dict)


Run = Callable[[Path, float], Done]


@dataclass(frozen=True)
class Step:
    """A step, its baseline, and its bounds at full size.

    Parameters
    ----------
    title : str
    ours : callable
        Called with the directory of a run and its scale.
    against : str
        What the step is compared with.
    baseline : callable, optional
        Called likewise, after the step.
    bounds : mapping of str to float
        The largest allowed ``seconds``, ``peak_gb``, ``ratio`` (of the times of one item) or other
        figure at full size.
    needs : tuple of str
        The steps whose output it reads.
    leaves : str
        Path of its output in the directory of a run.
    """

    title: str
    ours: Run
    against: str = ""
    baseline: Run | None = None
    bounds: Mapping[str, float] = field(default_factory=dict)
    needs: tuple[str, ...] = ()
    leaves: str = ""
