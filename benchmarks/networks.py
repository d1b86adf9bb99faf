"""Does the small network rank blocks like the paper's? Spearman's correlation over the blocks.

Scores every block alone and both baselines with both networks, on the profile that `ubp evaluate`
made in a home. The paper's network takes about half a second per batch of 128 clients on two cores;
scores are kept in the home, so that an interrupted run resumes.

    python -m benchmarks.networks --home ubp_home
"""

import argparse
import time
from pathlib import Path

from rich.console import Console
from scipy.stats import spearmanr

from benchmarks.machine import report
from benchmarks.scoring import available_tasks, grocery_home, score
from ubp_platform.evaluation.backtest import backtest, plan
from ubp_platform.evaluation.baselines import baselines
from ubp_platform.evaluation.network import SEED
from ubp_platform.evaluation.plan import EvaluationPlan
from ubp_platform.evaluation.representations import of_profile
from ubp_platform.progress import bars
from ubp_platform.warehouse import Warehouse


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--home",
        type=Path,
        default=Path("build/networks"),
        help="with a shop in it; by default build/networks, with Complete Journey",
    )
    parser.add_argument("--blocks", nargs="*", default=[])
    parser.add_argument("--tasks", nargs="*", default=[])
    parser.add_argument("--seeds", type=int, default=1)
    arguments = parser.parse_args()
    progress = bars(Console(stderr=True))
    challenge = EvaluationPlan("challenge", ["network"], range(SEED, SEED + arguments.seeds))
    with grocery_home(arguments.home) as home:
        split, clients = plan(home)
        tested = backtest(home, split, clients, arguments.blocks, progress=progress)
        tasks = available_tasks(home, split, clients, arguments.tasks)
        with Warehouse(home.warehouse) as warehouse:
            compared = baselines(warehouse.history(split.cutoff), clients)
        profile = of_profile(tested.matrix, tested.version.widths)
        compared += [row for row in profile if row.kind in ("block", "profile")]
        begun = time.perf_counter()
        scores = {
            network: score(home, compared, tasks, progress, plan=challenge, network=network)
            for network in ("small", "paper")
        }
    seconds = {
        network: sum(result.seconds for result in found.results)
        for network, found in scores.items()
    }
    names = [r.name for r in compared]
    sums = {n: [found.sums[name] for name in names] for n, found in scores.items()}
    agreement = spearmanr(sums["small"], sums["paper"]).statistic
    rows = [
        (name, f"{small:.3f}   {paper:.3f}")
        for name, small, paper in sorted(
            zip(names, sums["small"], sums["paper"], strict=True), key=lambda row: -row[2]
        )
    ]
    for task in tasks:
        of_task = [[found.score(n, task.name).mean for n in names] for found in scores.values()]
        rows.append((f"rank correlation, {task.name}", f"{spearmanr(*of_task).statistic:.2f}"))
    rows += [
        ("rank correlation, sum", f"{agreement:.2f}"),
        ("seconds in networks, small / paper", f"{seconds['small']:.0f} / {seconds['paper']:.0f}"),
        ("seconds of this run", f"{time.perf_counter() - begun:.0f}"),
    ]
    report(
        "networks",
        f"Sums of scores with the small and the paper's network, {len(clients):,} clients",
        rows,
        ratio=round(seconds["paper"] / seconds["small"], 1),
        rank_correlation=round(float(agreement), 3),
    )


if __name__ == "__main__":
    main()
