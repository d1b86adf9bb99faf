"""What a step of the benchmark is."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path


@dataclass
class Done:
    """What a step gives.

    Parameters
    ----------
    items : int
        How much it worked through.
    unit : str
        Of what.
    seconds : float, optional
        Where not all of the process's time is the step's.
    baseline_seconds : float, optional
        Of what the step is compared with, where that has to run in the same process.
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
    """A step, what it is compared with, and what it may cost at full size.

    Parameters
    ----------
    title : str
    ours : callable
        Gets the directory of a run and its scale.
    against : str
        What it is compared with.
    baseline : callable, optional
        The same; runs after it.
    bounds : mapping of str to float
        The largest allowed ``seconds``, ``peak_gb``, ``ratio`` (of the times of one item) or other
        figure at full size.
    needs : tuple of str
        The steps whose leavings it reads.
    leaves : str
        Where in the directory of a run it puts what others need.
    """

    title: str
    ours: Run
    against: str = ""
    baseline: Run | None = None
    bounds: Mapping[str, float] = field(default_factory=dict)
    needs: tuple[str, ...] = ()
    leaves: str = ""
