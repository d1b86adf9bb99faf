"""Write the report page of ``ubp evaluate``."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ubp_platform.evaluation.baselines import SIMPLE
from ubp_platform.evaluation.record import Evaluation
from ubp_platform.evaluation.representations import Representation
from ubp_platform.files import make_directory, write_text
from ubp_platform.home import Home
from ubp_platform.progress import ProgressFactory, logged
from ubp_platform.report.data_pictures import Cloud
from ubp_platform.report.page import render
from ubp_platform.warehouse import Warehouse
from ubp_platform.warehouse.shape import shape

#: Maximum and minimum number of clients on the map.
POINTS, FEWEST = 1500, 10


def write_report(
    home: Home,
    record: Evaluation,
    compared: Sequence[Representation],
    progress: ProgressFactory = logged,
) -> Path:
    """Write the page about an evaluation.

    Parameters
    ----------
    home : Home
    record : Evaluation
    compared : sequence of Representation
        The scored vectors; foreign embeddings, or else the profile, are drawn as a map.
    progress : ProgressFactory

    Returns
    -------
    Path
        The home's ``report/index.html``.
    """
    with progress("report", 1, "pages") as advance:
        with Warehouse(home.warehouse) as warehouse:
            measured = shape(warehouse, record.cutoff)
        page = render(record, measured, _cloud(compared))
        make_directory(home.report.parent)
        write_text(home.report, page)
        advance(1)
    return home.report


def _cloud(compared: Sequence[Representation]) -> Cloud | None:
    """Sample clients for the map; None if fewer than :data:`FEWEST` vectors differ."""
    drawn = next((one for one in compared if one.kind == "foreign"), compared[0])
    simple = next(one for one in compared if one.name == SIMPLE)
    rows = np.unique(np.linspace(0, simple.clients - 1, POINTS).astype(np.int64))
    vectors = drawn.batch(rows).numpy()
    if drawn.width < 2 or len(np.unique(vectors, axis=0)) < FEWEST:
        return None
    # The last two columns of that baseline, which are logarithms.
    days, events = np.expm1(simple.batch(rows).numpy()[:, 2:].T)
    colours = {"Days since the last event": days, "Events so far": events}
    return Cloud(drawn.name, vectors, colours)
