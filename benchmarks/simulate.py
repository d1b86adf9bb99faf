"""Simulating an event log, compared with writing the same columns from memory to Parquet."""

import argparse
import tempfile
import time
from pathlib import Path

import pyarrow.parquet as pq

from benchmarks.arguments import count, part
from benchmarks.machine import PeakMemory, report
from ubp_platform.events.schema import EVENT_TYPES
from ubp_platform.simulation.challenge import LogPlan, plan
from ubp_platform.simulation.simulator import simulate


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    either = parser.add_mutually_exclusive_group()
    either.add_argument("--clients", type=count, default=60_000)
    either.add_argument("--scale", type=part, help="a part of the challenge's log")
    options = parser.parse_args()
    asked = LogPlan(options.clients)
    if options.scale is not None:
        asked = plan("challenge", options.scale)
    with tempfile.TemporaryDirectory() as directory:
        target = Path(directory) / "delivery"
        start = time.perf_counter()
        with PeakMemory() as peak:
            files = simulate(target, **vars(asked))
        ours = time.perf_counter() - start
        events = sum(file.rows for file in files if file.path.stem in EVENT_TYPES)
        size = sum(file.path.stat().st_size for file in files)
        tables = {name: pq.read_table(target / f"{name}.parquet") for name in EVENT_TYPES}
        start = time.perf_counter()
        for name, table in tables.items():
            pq.write_table(table, Path(directory) / f"{name}.parquet")
        plain = time.perf_counter() - start
    report(
        "simulate",
        f"Simulating {asked.clients:,} clients for {asked.days} days: {events:,} events",
        [
            ("pyarrow, writing the same columns", f"{plain:.1f} s, {rate(events, plain)}"),
            ("ubp simulate (at least 5M/min)", f"{ours:.1f} s, {rate(events, ours)}"),
            ("ratio of times", f"{ours / plain:.2f}×"),
            ("size of the files", f"{size / 1e6:.1f} MB"),
            ("peak memory (under 2 GB)", f"{peak.gigabytes:.2f} GB"),
        ],
        events=events,
        millions_a_minute=round(events / ours * 60 / 1e6, 1),
        ratio=round(ours / plain, 2),
        peak_gb=round(peak.gigabytes, 2),
    )


def rate(events: int, seconds: float) -> str:
    return f"{events / seconds * 60 / 1e6:.1f}M/min"


if __name__ == "__main__":
    main()
