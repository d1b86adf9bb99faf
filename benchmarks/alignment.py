"""What a retrained profile does to models of the older one, as it is and aligned.

A logistic regression and a small network are fitted on the older version's profiles and read the
newer version's: as they are, and as `ubp align` maps them. The newer version has the same data and
another seed, or four weeks more of data, or both. The floor are maps that are fitted on anchors
that were shuffled.

    python -m benchmarks.alignment                        # Complete Journey
    python -m benchmarks.alignment --simulated 12000      # a simulated shop of so many clients
    python -m benchmarks.alignment --profile paper        # with the blocks of the paper
"""

import argparse
import tempfile
from datetime import timedelta
from pathlib import Path

import numpy as np
from rich.console import Console

from benchmarks.machine import report
from pipelines.align import align
from pipelines.encode import encode
from pipelines.ingest import ingest
from pipelines.train import train
from ubp_platform.blocks.snapshot import Snapshot
from ubp_platform.home import Home
from ubp_platform.profile.aligning import recent_and_next
from ubp_platform.profile.alignment import Columns, fit_maps, transform
from ubp_platform.profile.head_scores import HeadScore, head_scores
from ubp_platform.profile.listing import get_version
from ubp_platform.profile.version import ProfileVersion
from ubp_platform.progress import ProgressFactory, bars
from ubp_platform.simulation import simulator
from ubp_platform.times import parse_time
from ubp_platform.warehouse import Warehouse

MORE = timedelta(days=28)
NEXT = timedelta(days=14)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--simulated", type=int, metavar="CLIENTS", help="instead of the grocer")
    parser.add_argument("--profile", default="default", choices=["default", "paper"])
    options = parser.parse_args()
    progress = bars(Console(stderr=True))
    with tempfile.TemporaryDirectory(prefix="alignment-") as directory:
        home = Home(Path(directory) / "home")
        source, cutoff = "completejourney", "2017-12-18"
        if options.simulated:
            source, cutoff = str(Path(directory) / "shop"), "2022-11-14"
            simulator.simulate(Path(source), options.simulated, 100, progress=progress)
        ingest(home, source, progress=progress)
        at = parse_time(cutoff)
        for end, seed in ((at - MORE, 0), (at, 0), (at, 1)):
            skip = ["lm_*"] if options.profile == "paper" else []
            train(home, (), end, "small", seed, progress, profile=options.profile, skip=skip)
        encode(home, [at], "v1", progress)
        found = {
            "another seed": align(home, "v2", "v3", progress),
            "four weeks more": align(home, "v1", "v2", progress),
            "four weeks more, another seed": align(home, "v1", "v3", progress),
        }
        floor = _shuffled(home, get_version(home, "v3"), get_version(home, "v2"), progress)
    print(
        "| newer version | task | model | older | as it is | aligned | refitted | gap | recovered |"
    )
    print("|---|---|---|---|---|---|---|---|---|")
    for name, version in found.items():
        for one in version.description.aligned.scores if version.description.aligned else ():
            print(_row(name, one))
    for one in floor:
        print(_row("another seed, shuffled anchors", one))
    scores = {
        name: version.description.aligned.scores
        for name, version in found.items()
        if version.description.aligned
    }
    worst = {name: max(one.gap for one in rows) for name, rows in scores.items()}
    least = {
        name: min(one.recovered for one in rows if one.recovered is not None)
        for name, rows in scores.items()
    }
    report(
        "alignment",
        "AUROC that a model of the older version loses on the newer one",
        [
            (f"{name}: at most", f"{worst[name]:+.4f}, recovered at least {least[name]:.0%}")
            for name in scores
        ],
        gap={name: round(value, 4) for name, value in worst.items()},
        recovered={name: round(value, 4) for name, value in least.items()},
    )


def _row(name: str, one: HeadScore) -> str:
    raw = "" if one.raw is None else f"{one.raw:.4f}"
    recovered = "" if one.recovered is None else f"{one.recovered:.1%}"
    return (
        f"| {name} | {one.task} | {one.head} | {one.old:.4f} | {raw} | {one.aligned:.4f} | "
        f"{one.native:.4f} | {one.gap:+.4f} | {recovered} |"
    )


def _shuffled(
    home: Home, new: ProfileVersion, old: ProfileVersion, progress: ProgressFactory
) -> list[HeadScore]:
    """Score maps between different clients; two weeks earlier, as alignments are scored."""
    at = new.description.normalizer_cutoff
    for version in (new, old):
        encode(home, [at - NEXT], version.name, progress)
    ones, others = (Snapshot.read(version.snapshot_path(at - NEXT)) for version in (new, old))
    blocks = [Columns(part.block, part.start, part.width) for part in old.parts]
    places = [Columns(part.block, part.start, part.width) for part in new.parts]

    def align(train: np.ndarray, test: np.ndarray) -> np.ndarray:
        other = np.random.default_rng(0).permutation(train)
        maps = fit_maps(ones.vectors[train], others.vectors[other], places, blocks)
        return np.concatenate([transform(ones.vectors[test], m.arrays) for m in maps], axis=1)

    with Warehouse(home.warehouse) as warehouse:
        tasks = recent_and_next(warehouse, ones.client_ids, at - NEXT, at)
    return head_scores(others.vectors, ones.vectors, align, tasks)


if __name__ == "__main__":
    main()
