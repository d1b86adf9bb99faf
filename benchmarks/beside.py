"""What each other block adds to the default profile, and the paper's twelve against it.

One profile of all blocks is fitted for each block seed; what is compared are parts of it, read by
logistic regression. The baseline is the default profile. Fits and scores are kept in the home.

    python -m benchmarks.beside journey --block-seeds 3 --labels 300 --home build/journey
"""

import argparse
from collections.abc import Iterator

from rich.console import Console

from benchmarks.machine import report
from benchmarks.shops import filled, shop_parser
from pipelines.backtest import Backtest, backtest, plan
from pipelines.console.score_tables import SHORT
from pipelines.evaluate import pose
from ubp_platform.blocks.registry import PROFILES, profile_blocks
from ubp_platform.evaluation import tasks as task_list
from ubp_platform.evaluation.plan import EvaluationPlan, select_budgets
from ubp_platform.evaluation.protocol import run
from ubp_platform.evaluation.representations import Representation, parts_of
from ubp_platform.evaluation.scores import Scores
from ubp_platform.evaluation.summary import summarize
from ubp_platform.evaluation.tasks import Targets
from ubp_platform.home import Home
from ubp_platform.progress import ProgressFactory, bars
from ubp_platform.warehouse import Warehouse

PAPER = "the paper's blocks"


def main() -> None:
    parser = shop_parser(__doc__)
    parser.add_argument("--blocks", nargs="*", default=["*"], help="the other ones; all by default")
    options = parser.parse_args()
    progress = bars(Console(stderr=True))
    with filled(parser, options) as home:
        scores = _scored(home, options, progress)
    print(table(scores))
    means = scores.sums
    other = PAPER if PAPER in means else list(means)[-1]
    report(
        "beside",
        f"Blocks beside the default profile, the shop {options.shop}",
        [
            ("the default profile, sum", f"{means['profile']:.3f}"),
            (f"{other}, sum", f"{means[other]:.3f}"),
            ("ratio", f"{means['profile'] / means[other]:.3f}×"),
        ],
        sums={name: round(value, 4) for name, value in means.items()},
        ratio=round(means["profile"] / means[other], 4),
    )


def _scored(home: Home, options: argparse.Namespace, progress: ProgressFactory) -> Scores:
    split, clients = plan(home)
    wanted = profile_blocks("default", [*PROFILES["default"], *options.blocks])
    tested = [
        backtest(home, split, clients, wanted, progress=progress, seed=seed)
        for seed in range(options.block_seeds)
    ]
    with Warehouse(home.warehouse) as warehouse:
        names = task_list.choose(options.tasks)
        tasks, _ = pose(Targets(warehouse, split, clients), names, bool(options.tasks))
    budgets = select_budgets(options.labels or ["all"], len(clients), "holdout")
    rows = [row for seed, one in enumerate(tested) for row in _compared(one, seed)]
    judged = EvaluationPlan(heads=("logistic",), budgets=budgets)
    return run(rows, tasks, "small", judged, home.evaluation / "scores", progress)


def _compared(tested: Backtest, seed: int) -> Iterator[Representation]:
    """The default profile, with each other block, with all, and the paper's blocks alone."""
    widths = tested.version.widths
    names = [name for name, _ in widths]
    parts = dict(zip(names, parts_of(tested.matrix, widths), strict=True))
    default = {name: part for name, part in parts.items() if name in PROFILES["default"]}
    others = {name: part for name, part in parts.items() if name not in default}
    paper = tuple(part for name, part in others.items() if name in PROFILES["paper"])
    yield Representation("profile", "profile", tuple(default.values()), seed)
    for name, part in others.items():
        yield Representation(f"with {name}", "without", (*default.values(), part), seed)
    if len(others) > 1:
        everything = (*default.values(), *others.values())
        yield Representation("with all of these", "without", everything, seed)
    if len(paper) > 1:
        yield Representation(PAPER, "foreign", paper, seed)


def table(scores: Scores) -> str:
    """What each row is more than the default profile: by task, the sum, and its interval."""
    summary = summarize(scores)
    tasks = [info.name for info in scores.tasks]
    more = {
        one.over: (-one.mean, -one.high, -one.low)
        for one in summary.differences
        if one.one == "profile" and one.task is None
    }
    # A row that is no part of the profile stands first in its difference.
    more |= {
        one.one: (one.mean, one.low, one.high)
        for one in summary.differences
        if one.over == "profile" and one.task is None
    }
    mean = {(one.representation, one.task): one.mean for one in summary.scores}
    few = {
        (one.representation, one.labels): one.mean
        for one in summary.budgets
        if one.task is None and one.labels
    }
    budgets = sorted({labels for _, labels in few})
    heads = [*(SHORT.get(task, task) for task in tasks), "sum", "more than the profile"]
    heads += [f"{labels:,} labels" for labels in budgets]
    lines = ["| | width | " + " | ".join(heads) + " |", "|---" * (len(heads) + 2) + "|"]
    for info in scores.representations:
        cells = [str(info.width), *(f"{mean[info.name, task]:.3f}" for task in [*tasks, None])]
        gain = more.get(info.name)
        cells.append("{:+.3f} ({:+.3f} to {:+.3f})".format(*gain) if gain else "")
        cells += [f"{few[info.name, n]:.3f}" if (info.name, n) in few else "" for n in budgets]
        lines.append(f"| {info.name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
