"""The page at the end of ``ubp evaluate``."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ubp_platform.evaluation.record import Evaluation
from ubp_platform.evaluation.representations import Representation
from ubp_platform.files import write_text
from ubp_platform.home import Home
from ubp_platform.progress import ProgressFactory, silent
from ubp_platform.report.page import render
from ubp_platform.report.score_pictures import Cloud
from ubp_platform.warehouse import Warehouse
from ubp_platform.warehouse.shape import shape

#: So many clients are drawn as points, at most, and at least.
POINTS, FEWEST = 1500, 10


def write_report(
    home: Home,
    found: Evaluation,
    compared: Sequence[Representation],
    progress: ProgressFactory = silent,
) -> Path:
    """Write the page about an evaluation.

    Parameters
    ----------
    home : Home
    found : Evaluation
    compared : sequence of Representation
        With the vectors that were scored; those from elsewhere, or else the profile, are drawn as
        a map.
    progress : ProgressFactory

    Returns
    -------
    Path
        The home's ``report/index.html``.
    """
    with progress("report", 1, "pages") as advance:
        with Warehouse(home.warehouse) as warehouse:
            measured = shape(warehouse, found.cutoff)
        page = render(found, measured, _cloud(compared))
        home.report.parent.mkdir(parents=True, exist_ok=True)
        write_text(home.report, page)
        advance(1)
    return home.report


def _cloud(compared: Sequence[Representation]) -> Cloud | None:
    """Choose clients for the map, evenly; None where there are too few, or all are alike."""
    drawn = next((one for one in compared if one.kind == "foreign"), compared[0])
    simple = next(one for one in compared if one.name == "recency, frequency")
    clients = len(simple.parts[0].matrix)
    rows = np.unique(np.linspace(0, clients - 1, POINTS).astype(np.int64))
    vectors = drawn.batch(rows).numpy()
    if drawn.width < 2 or len(np.unique(vectors, axis=0)) < FEWEST:
        return None
    # The last two numbers of that baseline, of which it takes logarithms.
    days, events = np.expm1(simple.batch(rows).numpy()[:, 2:].T)
    colours = {"Days since the last event": days, "Events so far": events}
    return Cloud(drawn.name, vectors, colours)
