"""What the default profile is worth on several shops, as tables for docs/notes/results.md.

Every row is scored as `ubp evaluate` does it; the baseline is recency and frequency, four numbers.
`journey` is Complete Journey, `simulated` the shop of `ubp simulate`, `other` a shop with other
mechanics: shorter lives, more and shorter interests, more drift, more launches, clients that come
back to more products and mind prices less. What was scored is kept in the home.

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
from pipelines.console.score_tables import SHORT
from pipelines.demo import GROCERY
from pipelines.evaluate import evaluate
from pipelines.ingest import ingest
from ubp_platform.evaluation.record import Evaluation
from ubp_platform.home import Home
from ubp_platform.progress import bars
from ubp_platform.simulation.shop import Shop
from ubp_platform.simulation.simulator import simulate

FOUR = "recency, frequency"
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
    parser.add_argument("--blocks", nargs="*", default=[], help="of the profile; the default ones")
    options = parser.parse_args()
    progress = bars(Console(stderr=True))
    begun = time.perf_counter()
    with filled(parser, options) as home:
        found = evaluate(
            *(home, options.blocks, options.tasks),
            progress=progress,
            heads=options.heads,
            labels=options.labels,
            block_seeds=options.block_seeds,
        )
    print(table(found))
    sums = {one.representation: one.mean for one in found.summary.scores if one.task is None}
    fits = sum(block.report.seconds for block in found.blocks)
    report(
        "shops",
        f"The default profile on the shop {options.shop}, {found.clients:,} clients",
        [
            ("recency and frequency, sum", f"{sums[FOUR]:.3f}"),
            ("profile, sum", f"{sums['profile']:.3f}"),
            ("ratio", f"{sums['profile'] / sums[FOUR]:.3f}×"),
            ("seconds of the fits", f"{fits:.0f}"),
            ("seconds in all", f"{time.perf_counter() - begun:.0f}"),
        ],
        sums={name: round(value, 4) for name, value in sums.items()},
        ratio=round(sums["profile"] / sums[FOUR], 4),
    )


def shop_parser(description: str | None) -> argparse.ArgumentParser:
    """Give a parser of what shop is evaluated, and how often."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("shop", choices=["journey", *SEEDS])
    parser.add_argument(
        "--clients", type=count, help=f"of a simulated shop; {CLIENTS:,} by default"
    )
    parser.add_argument("--home", type=Path, help="kept; by default a temporary one")
    parser.add_argument("--block-seeds", type=count, default=1)
    parser.add_argument("--labels", nargs="*", default=[], help="as `ubp evaluate --labels`")
    parser.add_argument("--tasks", nargs="*", default=[], help="all by default")
    return parser


@contextmanager
def filled(parser: argparse.ArgumentParser, options: argparse.Namespace) -> Iterator[Home]:
    """Give the home with the shop's log in it."""
    if options.shop == "journey" and options.clients:
        parser.error("journey is a real log of 2,500 households: leave out --clients")
    with tempfile.TemporaryDirectory() as directory:
        home, log = Home(home=options.home or Path(directory) / "home"), Path(directory) / "log"
        if not home.warehouse.exists() and options.shop == "journey":
            ingest(home, GROCERY.source, GROCERY.layout)
        elif not home.warehouse.exists():
            shop = OTHER if options.shop == "other" else None
            simulate(log, options.clients or CLIENTS, DAYS, seed=SEEDS[options.shop], shop=shop)
            ingest(home, str(log))
        yield home


def table(found: Evaluation) -> str:
    """The scores of a task by row, what the profile is ahead, and the sums with fewer labels."""
    tasks = [info.name for info in found.scores.tasks]
    widths = {info.name: info.width for info in found.scores.representations}
    scores = {(one.representation, one.task): one for one in found.summary.scores}
    ahead = {one.over: one for one in found.summary.differences if one.task is None}
    few = {
        (one.representation, one.labels): one.mean
        for one in found.summary.budgets
        if one.task is None
    }
    budgets = sorted({labels for _, labels in few if labels})
    names = [*(SHORT.get(task, task) for task in tasks), "sum", "± blocks"]
    names += ["profile ahead by", *(f"{labels:,} labels" for labels in budgets)]
    lines = ["| | width | " + " | ".join(names) + " |", "|---" * (len(names) + 2) + "|"]
    for info in found.scores.ranked():
        whole = scores[info.name, None]
        cells = [str(widths[info.name])]
        cells += [f"{scores[info.name, task].mean:.3f}" for task in tasks]
        cells += [f"{whole.mean:.3f}", f"{whole.block_deviation:.3f}"]
        gain = ahead.get(info.name)
        cells.append(f"{gain.mean:+.3f} ({gain.low:+.3f} to {gain.high:+.3f})" if gain else "")
        cells += [f"{few[info.name, n]:.3f}" if (info.name, n) in few else "" for n in budgets]
        lines.append(f"| {info.name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
