"""Scores of the default profile on several shops, as tables for docs/notes/results.md.

Rows are scored as by `ubp evaluate`; the baseline is recency and frequency, four numbers. `journey`
is Complete Journey, `simulated` the shop of `ubp simulate`, `other` a shop with other mechanics:
shorter lifetimes, more and shorter interests, more drift, more launches, clients who return to more
products and are less sensitive to prices. Scores are kept in the home.

    python -m benchmarks.shops simulated --clients 20000 --block-seeds 3 --home build/simulated
"""

import argparse
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console

from benchmarks.arguments import count
from benchmarks.machine import report
from benchmarks.scoring import grocery_home, score_table, scoring_parser
from pipelines.evaluate import evaluate
from pipelines.ingest import ingest
from ubp_platform.evaluation.baselines import SIMPLE
from ubp_platform.home import Home
from ubp_platform.progress import bars
from ubp_platform.simulation.shop import Shop
from ubp_platform.simulation.simulator import simulate

CLIENTS, DAYS = 20_000, 120
OTHER = Shop(
    sessions_a_day=0.25,
    newcomers=0.5,
    dropout_a_day=1 / 80,
    dropout_shape=1.0,
    launched=0.4,
    product_tail=0.9,
    interests=7,
    interest_days=35,
    drift=0.7,
    exploring=0.25,
    focus=0.7,
    favourites=6,
    returning=0.5,
    price_width=1.0,
    searchers=0.5,
    adding=0.09,
    buying=0.35,
    direct=0.1,
)
SEEDS = {"simulated": 0, "other": 21}


def main() -> None:
    parser = shop_parser(__doc__)
    parser.add_argument("--heads", nargs="*", default=[])
    parser.add_argument("--blocks", nargs="*", default=[], help="by default the usual ones")
    options = parser.parse_args()
    progress = bars(Console(stderr=True))
    begun = time.perf_counter()
    with shop_home(parser, options) as home:
        record = evaluate(
            home,
            blocks=options.blocks,
            tasks=options.tasks,
            progress=progress,
            heads=options.heads,
            labels=options.labels,
            block_seeds=options.block_seeds,
        )
    summary = record.summary
    print(
        score_table(
            scores=record.scores,
            summary=summary,
            rows=[info.name for info in record.scores.ranked()],
            gains={one.over: one for one in summary.differences if one.task is None},
            gain_title="profile ahead by",
            deviations=True,
        )
    )
    sums = {one.representation: one.mean for one in summary.scores if one.task is None}
    fits = sum(block.report.seconds for block in record.blocks)
    report(
        "shops",
        f"The default profile on the shop {options.shop}, {record.clients:,} clients",
        [
            ("recency and frequency, sum", f"{sums[SIMPLE]:.3f}"),
            ("profile, sum", f"{sums['profile']:.3f}"),
            ("ratio", f"{sums['profile'] / sums[SIMPLE]:.3f}×"),
            ("seconds of the fits", f"{fits:.0f}"),
            ("seconds in all", f"{time.perf_counter() - begun:.0f}"),
        ],
        sums={name: round(value, 4) for name, value in sums.items()},
        ratio=round(sums["profile"] / sums[SIMPLE], 4),
    )


def shop_parser(description: str | None) -> argparse.ArgumentParser:
    """Make a parser with the options of a shop and of its evaluation."""
    parser = scoring_parser(description)
    parser.add_argument("shop", choices=["journey", *SEEDS])
    parser.add_argument(
        "--clients", type=count, help=f"of a simulated shop; {CLIENTS:,} by default"
    )
    parser.add_argument("--block-seeds", type=count, default=1)
    parser.add_argument("--tasks", nargs="*", default=[], help="all by default")
    return parser


@contextmanager
def shop_home(parser: argparse.ArgumentParser, options: argparse.Namespace) -> Iterator[Home]:
    """Yield a home with the shop's log."""
    if options.shop == "journey":
        if options.clients:
            parser.error("journey is a real log of 2,500 households: leave out --clients")
        with grocery_home(options.home) as home:
            yield home
        return
    with tempfile.TemporaryDirectory() as directory:
        home, log = Home(home=options.home or Path(directory) / "home"), Path(directory) / "log"
        if not home.warehouse.exists():
            shop = OTHER if options.shop == "other" else None
            simulate(log, options.clients or CLIENTS, DAYS, seed=SEEDS[options.shop], shop=shop)
            ingest(home, str(log))
        yield home


if __name__ == "__main__":
    main()
