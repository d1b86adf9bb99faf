"""Run steps, each in its own process."""

import os
import sys
import time
import warnings
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict
from multiprocessing import get_context
from pathlib import Path
from resource import RUSAGE_SELF, getrusage

import torch._dynamo  # noqa: F401 - otherwise the first optimizer imports it

from benchmarks.full_log import log, profiles
from benchmarks.full_log.outcome import Results
from benchmarks.machine import today

STEPS = log.STEPS | profiles.STEPS


def measure(name: str, directory: Path, scale: float) -> Results:
    """Run a step and its baseline."""
    found: Results = {"ours": measured(name, "ours", directory, scale)}
    if STEPS[name].baseline:
        found["baseline"] = measured(name, "baseline", directory, scale)
        if len({part["also"].get("checksum") for part in found.values()}) > 1:
            sys.exit(f"{name} and its baseline disagree")
    elif seconds := found["ours"]["baseline_seconds"]:
        found["baseline"] = {**found["ours"], "seconds": seconds, "also": {}}
    place = directory / f"{scale:g}"
    files = sum(file.stat().st_size for file in place.rglob("*") if file.is_file())
    found["ours"]["also"].setdefault("disk_gb", files / 1e9)
    return {**found, "date": today()}


def measured(name: str, which: str, directory: Path, scale: float) -> dict:
    """Run one step in its own process, which has everything imported."""
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    processes = get_context("forkserver")
    processes.set_forkserver_preload([__name__])
    with ProcessPoolExecutor(1, processes) as pool:
        return pool.submit(run_step, name, which, directory / f"{scale:g}", scale).result()


def run_step(name: str, which: str, place: Path, scale: float) -> dict:
    """Run a step within its process; return the outcome and the peak memory."""
    step = STEPS[name]
    run = step.baseline if which == "baseline" else step.ours
    assert run is not None
    start = time.perf_counter()
    with warnings.catch_warnings(action="ignore"):
        done = run(place, scale)
    done.seconds = done.seconds or time.perf_counter() - start
    return {**asdict(done), "peak_gb": getrusage(RUSAGE_SELF).ru_maxrss * 1024 / 1e9}
