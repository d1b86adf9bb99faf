"""What each other block adds to the default profile, and how the paper's twelve compare with it.

One profile of all blocks is fitted per block seed; parts of it are scored by logistic regression.
The baseline is the default profile. Fits and scores are kept in the home.

    python -m benchmarks.beside journey --block-seeds 3 --labels 300 --home build/journey
"""

import argparse
from collections.abc import Iterator

from rich.console import Console

from benchmarks.machine import report
from benchmarks.scoring import available_tasks, comparison_table, score
from benchmarks.shops import shop_home, shop_parser
from ubp_platform.blocks.registry import PROFILES, profile_blocks
from ubp_platform.evaluation.backtest import Backtest, backtest, plan
from ubp_platform.evaluation.representations import Representation, parts_of
from ubp_platform.evaluation.scores import Scores
from ubp_platform.home import Home
from ubp_platform.progress import ProgressFactory, bars

PAPER = "the paper's blocks"


def main() -> None:
    parser = shop_parser(__doc__)
    parser.add_argument("--blocks", nargs="*", default=["*"], help="other blocks; all by default")
    options = parser.parse_args()
    progress = bars(Console(stderr=True))
    with shop_home(parser, options) as home:
        scores = _scored(home, options, progress)
    print(comparison_table(scores))
    means = scores.sums
    other = PAPER if PAPER in means else list(means)[-1]
    report(
        "beside",
        f"Blocks in addition to the default profile, shop {options.shop}",
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
    tasks = available_tasks(home, split, clients, options.tasks)
    rows = [row for seed, one in enumerate(tested) for row in _compared(one, seed)]
    return score(home, rows, tasks, progress, options.labels)


def _compared(tested: Backtest, seed: int) -> Iterator[Representation]:
    """The default profile; with each other block; with all of them; the paper's blocks alone."""
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


if __name__ == "__main__":
    main()
