"""Does the small network rank blocks as the paper's does? Spearman's correlation over the blocks.

Scores every block alone and both baselines with both networks, on the profile that `ubp evaluate`
made in a home. The paper's network takes about half a second a batch of 128 clients on two cores;
what was scored is kept in the home, so that a run that was cut off goes on.

    python -m benchmarks.networks --home ubp_home
"""

import argparse
import time
from pathlib import Path

from rich.console import Console
from scipy.stats import spearmanr

from benchmarks.machine import report
from pipelines.backtest import backtest, plan
from pipelines.demo import GROCERY
from pipelines.evaluate import pose
from pipelines.ingest import ingest
from ubp_platform.evaluation.baselines import baselines
from ubp_platform.evaluation.network import SEED
from ubp_platform.evaluation.plan import EvaluationPlan
from ubp_platform.evaluation.protocol import run
from ubp_platform.evaluation.representations import of_profile
from ubp_platform.evaluation.tasks import TASKS, Targets
from ubp_platform.home import Home
from ubp_platform.progress import bars
from ubp_platform.warehouse import Warehouse


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--home", type=Path, help="with a shop in it; by default Complete Journey")
    parser.add_argument("--blocks", nargs="*", default=[])
    parser.add_argument("--tasks", nargs="*", default=TASKS)
    parser.add_argument("--seeds", type=int, default=1)
    arguments = parser.parse_args()
    home = Home(home=arguments.home or Path("build/networks"))
    progress = bars(Console(stderr=True))
    if not home.warehouse.exists():
        ingest(home, GROCERY.source, GROCERY.layout, progress=progress)
    split, clients = plan(home)
    tested = backtest(home, split, clients, arguments.blocks, progress=progress)
    with Warehouse(home.warehouse) as warehouse:
        targets = Targets(warehouse, split, clients)
        tasks, _ = pose(targets, arguments.tasks, strict=False)
        compared = baselines(warehouse.history(split.cutoff), clients)
    widths = [(part.block, part.width) for part in tested.version.parts]
    compared += [r for r in of_profile(tested.matrix, widths) if r.kind in ("block", "profile")]
    judged = EvaluationPlan("challenge", ["network"], range(SEED, SEED + arguments.seeds))
    kept = home.evaluation / "scores"
    begun = time.perf_counter()
    scores = {
        network: run(compared, tasks, network, judged, kept, progress)
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
