"""What the benchmarks of profiles share: the home of a shop, scoring, and a table of scores."""

import argparse
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from pipelines.console.score_tables import SHORT
from pipelines.demo import GROCERY
from pipelines.ingest import ingest
from ubp_platform.choices import NetworkName
from ubp_platform.evaluation.plan import EvaluationPlan, select_budgets
from ubp_platform.evaluation.protocol import run
from ubp_platform.evaluation.representations import Representation
from ubp_platform.evaluation.scores import Scores
from ubp_platform.evaluation.split import Split
from ubp_platform.evaluation.summary import DifferenceSummary, Summary, summarize
from ubp_platform.evaluation.tasks import Targets, Task, select_tasks
from ubp_platform.home import Home
from ubp_platform.progress import ProgressFactory
from ubp_platform.warehouse import Warehouse


def scoring_parser(description: str | None) -> argparse.ArgumentParser:
    """Make a parser with the options of all benchmarks that score representations."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--home", type=Path, help="kept; by default a temporary one")
    parser.add_argument("--labels", nargs="*", default=[], help="as `ubp evaluate --labels`")
    return parser


@contextmanager
def grocery_home(home: Path | None) -> Iterator[Home]:
    """Yield a home with the log of Complete Journey; a temporary one by default."""
    with tempfile.TemporaryDirectory() as directory:
        filled = Home(home=home or Path(directory) / "home")
        if not filled.warehouse.exists():
            ingest(filled, GROCERY.source, GROCERY.layout)
        yield filled


def available_tasks(
    home: Home, split: Split, clients: np.ndarray, names: Sequence[str] = ()
) -> list[Task]:
    """Return the named tasks, or by default all that the log has labels for."""
    with Warehouse(home.warehouse) as warehouse:
        targets = Targets(warehouse, split, clients)
        return targets.available(select_tasks(names), strict=bool(names))[0]


def score(
    home: Home,
    rows: Sequence[Representation],
    tasks: Sequence[Task],
    progress: ProgressFactory,
    labels: Sequence[str] = (),
    plan: EvaluationPlan | None = None,
    network: NetworkName = "small",
) -> Scores:
    """Score representations, by default by logistic regression; scores are kept in the home."""
    budgets = select_budgets(labels or ["all"], rows[0].clients, "holdout")
    return run(
        representations=rows,
        tasks=tasks,
        size=network,
        plan=plan or EvaluationPlan(heads=("logistic",), budgets=budgets),
        cache=home.evaluation / "scores",
        progress=progress,
    )


def score_table(
    scores: Scores,
    summary: Summary,
    rows: Sequence[str],
    gains: Mapping[str, DifferenceSummary],
    gain_title: str,
    deviations: bool = False,
) -> str:
    """Lay out scores as Markdown: by task, the sum, a difference, and sums with fewer labels.

    Parameters
    ----------
    scores : Scores
    summary : Summary
        Of the scores.
    rows : sequence of str
        Names of representations.
    gains : mapping of str to DifferenceSummary
        A difference in the sum for some of the rows.
    gain_title : str
    deviations : bool
        Whether there is a column of deviations over block seeds.
    """
    tasks = [info.name for info in scores.tasks]
    widths = {info.name: info.width for info in scores.representations}
    by_task = {(one.representation, one.task): one for one in summary.scores}
    few = {
        (one.representation, one.labels): one.mean
        for one in summary.budgets
        if one.task is None and one.labels
    }
    budgets = sorted({labels for _, labels in few})
    heads = ["width", *(SHORT.get(task, task) for task in tasks), "sum"]
    heads += ["± blocks"] * deviations
    heads += [gain_title, *(f"{labels:,} labels" for labels in budgets)]
    lines = ["| | " + " | ".join(heads) + " |", "|---" * (len(heads) + 1) + "|"]
    for name in rows:
        cells = [str(widths[name])]
        cells += [f"{by_task[name, task].mean:.3f}" for task in [*tasks, None]]
        cells += [f"{by_task[name, None].block_deviation:.3f}"] * deviations
        gain = gains.get(name)
        cells.append(f"{gain.mean:+.3f} ({gain.low:+.3f} to {gain.high:+.3f})" if gain else "")
        cells += [f"{few[name, n]:.3f}" if (name, n) in few else "" for n in budgets]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def comparison_table(scores: Scores) -> str:
    """Lay out scores as Markdown, with each row's lead over the row ``profile`` in the sum."""
    summary, gains = summarize(scores), {}
    for one in summary.differences:
        if one.task is not None:
            continue
        if one.one == "profile":
            mirrored = {"mean": -one.mean, "low": -one.high, "high": -one.low}
            gains[one.over] = one.model_copy(update=mirrored)
        elif one.over == "profile":  # a foreign row comes first
            gains[one.one] = one
    names = [info.name for info in scores.representations]
    return score_table(scores, summary, names, gains, gain_title="more than the profile")
