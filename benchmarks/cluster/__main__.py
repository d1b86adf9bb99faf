"""What a cluster costs and gains, and that it changes nothing: ``make bench-cluster``.

    python -m benchmarks.cluster                       # 1% and 10% of a log of the challenge's size
    python -m benchmarks.cluster --kills 0 --scale 0   # equality alone

*The same bits*: each step on two nodes of one CPU each, against one process, at 1% of the log, with
all blocks (networks small and fitted on few clients: the steps after a fit are compared). Then
workers are killed at random moments of each step, with the blocks that encode fast.

*Cost and gain*: the encoding of the default profile at ``--scale`` of the log, on one and on two
nodes of one CPU each, against one process with two threads in the same run.
"""

import argparse
import random
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.cluster.nodes import Killer, Watch, cluster
from benchmarks.cluster.steps import CUTOFF, PROGRESS, SAMPLE, Steps, Timed
from benchmarks.machine import report
from pipelines.clients import relevant_clients
from pipelines.ingest import ingest
from pipelines.lake import Lake, lake
from pipelines.train import train
from tests.pipelines.tiny import tiny_presets
from ubp_platform.blocks.registry import block_names, profile_blocks
from ubp_platform.engine.base import HERE, Engine
from ubp_platform.home import Home
from ubp_platform.profile import bucket_work
from ubp_platform.simulation import challenge, simulator

#: The blocks whose encoding takes a moment, for steps that are run often.
FAST = ("counters", "item_scores", "ials_categories", "handcrafted")
_SMALL_BUCKETS = 8192

Rows = list[tuple[str, str]]


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.cluster",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--small", type=float, default=0.01, help="of the log, for equality")
    parser.add_argument("--scale", type=float, default=0.1, help="of the log, for cost; 0 is none")
    parser.add_argument("--kills", type=int, default=3, help="workers to kill in each step")
    options = parser.parse_args()
    result: dict[str, object] = {}
    rows: Rows = []
    with tempfile.TemporaryDirectory() as temporary:
        directory = Path(temporary)
        with _small_tasks():
            rows += _same(directory, options.small, result)
            if options.kills:
                rows += _killed(directory, options.kills, result)
        shutil.rmtree(directory / "small", ignore_errors=True)
        if options.scale:
            rows += _cost(directory, options.scale, result)
    report("cluster", "A Ray cluster against one process", rows, **result)


@contextmanager
def _small_tasks() -> Iterator[None]:
    """Let a task take few clients, or all of 1% would be one."""
    before = bucket_work._CLIENTS
    bucket_work._CLIENTS = 1000
    yield
    bucket_work._CLIENTS = before


def _log(directory: Path, scale: float) -> Home:
    """Ingest a simulated log, with its relevant clients."""
    plan = challenge.plan("challenge", scale, None, None)
    simulator.simulate(directory / "log", **vars(plan), seed=0, progress=PROGRESS)
    home = Home(directory / "home")
    ingest(home, str(directory / "log"), progress=PROGRESS)
    relevant_clients(home, directory / "log" / "relevant_clients.npy")
    shutil.rmtree(directory / "log")
    return home


def _seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def _same(directory: Path, scale: float, result: dict[str, object]) -> Rows:
    home = _log(directory / "small", scale)
    with tiny_presets(directory):
        train(home, block_names(), CUTOFF, progress=PROGRESS, clients_sample=SAMPLE)
        found = lake(home, PROGRESS, bucket_clients=_SMALL_BUCKETS)
        steps = Steps(home, block_names(), directory)
        plain = {name: step(HERE) for name, step in steps.all.items()}
        with cluster(2) as engine:
            equal = {name: step(engine) == plain[name] for name, step in steps.all.items()}
    buckets = len(found.written.manifest.buckets)
    result["equal"] = equal
    return [
        (
            f"{name}: two nodes against one process, {scale:.0%} of the log, {buckets} buckets",
            "the same bits" if same else "DIFFERENT",
        )
        for name, same in equal.items()
    ]


def _killed(directory: Path, kills: int, result: dict[str, object]) -> Rows:
    """Kill workers in each step, again and again, until enough were killed."""
    home, chance = Home(directory / "small" / "home"), random.Random(7)
    for path in (home.snapshots, home.profiles, home.root / "names"):
        shutil.rmtree(path)
    train(home, FAST, CUTOFF, progress=PROGRESS, clients_sample=SAMPLE)
    steps, rows = Steps(home, FAST, directory), []
    found: dict[str, dict[str, int]] = {}
    with cluster(2) as engine:
        for name, step in steps.all.items():
            plain, killed, runs, different = step(HERE), 0, 0, 0
            while killed < kills and runs < 3 * kills:
                with Killer(chance, kills - killed) as killer:
                    different += step(engine) != plain
                killed, runs = killed + killer.killed, runs + 1
            found[name] = {"killed": killed, "runs": runs, "different": different}
            what = f"{different} of {runs} runs differ"
            rows.append((f"{name}: {killed} workers killed in {runs} runs", what))
    result["killed"] = found
    return rows


def _cost(directory: Path, scale: float, result: dict[str, object]) -> Rows:
    home = _log(directory / "large", scale)
    blocks = profile_blocks("default")
    train(home, blocks, CUTOFF, progress=PROGRESS, clients_sample=SAMPLE)
    written: list[Lake] = []
    writing = _seconds(lambda: written.append(lake(home, PROGRESS)))
    manifest = written[0].written.manifest
    megabytes = sum(file.bytes for file in manifest.files) / 1e6
    steps = Steps(home, blocks, directory)

    def encode(engine: Engine) -> _Run:
        timed = Timed(PROGRESS)
        with Watch() as watch:
            whole = _seconds(lambda: steps.encode(engine, timed))
        return _Run(whole, timed.seconds("encode"), watch.peak)

    encode(HERE)  # what a process loads once
    plain = [encode(HERE)]
    runs: dict[int, list[_Run]] = {}
    for nodes in (1, 2):
        with cluster(nodes) as engine:
            runs[nodes] = [encode(engine) for _ in range(nodes + 1)]
    plain.append(encode(HERE))
    base = _Run(min(one.whole for one in plain), min(one.encoding for one in plain), 0)
    one, two = runs[1][1], runs[2][1]
    gigabytes = [round(run.gigabytes, 2) for run in runs[2]]
    result |= {
        "plain": vars(base),
        "nodes": {nodes: [vars(run) for run in some] for nodes, some in runs.items()},
        "overhead": round(two.whole / base.whole, 2),
        "overhead_cold": round(runs[2][0].whole / base.whole, 2),
        "scaling": round(one.encoding / two.encoding, 2),
        "lake_seconds": round(writing, 1),
        "lake_megabytes": round(megabytes, 1),
        "buckets": len(manifest.buckets),
    }
    many = f"{scale:.0%} of the log, {len(manifest.buckets)} buckets"
    return [
        (f"lake: {many}, {manifest.events:,} events", f"{writing:.1f} s, {megabytes:.0f} MB"),
        ("blocks and profiles: one process, two threads", f"{base}"),
        ("one node of one CPU, first run", f"{runs[1][0]}"),
        ("one node of one CPU, second run", f"{one}"),
        ("two nodes of one CPU each, first run", f"{runs[2][0]}"),
        ("two nodes of one CPU each, second run", f"{two}"),
        (
            "two nodes against one process: first, second run",
            f"{runs[2][0].whole / base.whole:.2f}×, {two.whole / base.whole:.2f}×",
        ),
        (
            "one node against two: encoding, all of it",
            f"{one.encoding / two.encoding:.2f}×, {one.whole / two.whole:.2f}×",
        ),
        (
            "a worker's own memory after one, two, three times as many buckets",
            ", ".join(f"{one:.2f} GB" for one in gigabytes),
        ),
    ]


@dataclass(frozen=True)
class _Run:
    """Seconds of all, and of the encoding alone; the peak memory of a worker in GB."""

    whole: float
    encoding: float
    gigabytes: float

    def __str__(self) -> str:
        return f"{self.whole:.1f} s, {self.encoding:.1f} s of it encoding"


if __name__ == "__main__":
    main()
