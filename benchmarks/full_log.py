"""A log of the challenge's size, or parts of it, through every step up to the vectors.

Each step runs in a process of its own, which tells its time and its peak of memory, and beside it
what it is compared with in another. The log, the warehouse and the results of a scale stay in a
directory; `--steps` runs some of the steps again. The picture shows each step's cost against its
size.

    python -m benchmarks.full_log                          # 1% and less, minutes
    python -m benchmarks.full_log --scales 0.01 0.1 1      # up to 176 million events
"""

import argparse
import json
import os
import subprocess
import sys
import time
from dataclasses import asdict
from pathlib import Path

import matplotlib.pyplot as plt

from benchmarks.full_log_steps import STEPS
from benchmarks.machine import describe, report

Result = dict[str, dict | None]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--scales", type=float, nargs="+", default=[0.001, 0.003, 0.01])
    parser.add_argument("--directory", type=Path, default=Path("build/full_log"))
    parser.add_argument("--steps", nargs="*", choices=STEPS, default=[*STEPS])
    parser.add_argument("--only", nargs=2, help=argparse.SUPPRESS)  # this process is one step
    arguments = parser.parse_args()
    directory: Path = arguments.directory
    if arguments.only:
        run_step(*arguments.only, directory, arguments.scales[0])
        return
    for scale in arguments.scales:
        place = directory / f"{scale:g}"
        place.mkdir(parents=True, exist_ok=True)
        results = kept_results(place)
        for name in arguments.steps:
            which = ("ours", "baseline") if STEPS[name][1] else ("ours",)
            results[name] = {part: measured(name, part, directory, scale) for part in which}
            (place / "results.json").write_text(json.dumps(results, indent=1))
        report(
            "full_log",
            f"{scale:g} of a log of the challenge's size",
            [(name, told(result)) for name, result in results.items()],
            scale=scale,
            disk_gb=round(size(place) / 1e9, 2),
            ratio=max((ratio(result) or 0 for result in results.values()), default=0),
        )
    print(f"Picture: {draw(directory)}")


def run_step(name: str, which: str, directory: Path, scale: float) -> None:
    """Be the process of one step."""
    step = STEPS[name][which == "baseline"]
    assert step is not None
    start = time.perf_counter()
    done = step(directory / f"{scale:g}", scale)
    done.seconds = done.seconds or time.perf_counter() - start
    print(json.dumps(asdict(done)))


def measured(name: str, which: str, directory: Path, scale: float) -> dict:
    """Run one step in a process of its own, and take its peak of memory from the system."""
    command = [sys.executable, "-W", "ignore", "-m", "benchmarks.full_log", "--only", name, which]
    command += ["--scales", str(scale), "--directory", str(directory)]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, env={"OMP_WAIT_POLICY": "PASSIVE", **os.environ}
    )
    assert process.stdout is not None
    said = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        sys.exit(f"{name} ({which}) failed")
    return {
        **json.loads(said.strip().splitlines()[-1]),
        "cpu_s": round(usage.ru_utime + usage.ru_stime, 1),
        "peak_gb": round(usage.ru_maxrss * 1024 / 1e9, 2),
    }


def kept_results(place: Path) -> dict[str, Result]:
    """Give what was measured at a scale before."""
    path = place / "results.json"
    return json.loads(path.read_text()) if path.exists() else {}


def ratio(result: Result) -> float | None:
    """Compare the times of one item; None without a baseline."""
    if not (plain := result.get("baseline")):
        return None
    mine, theirs = (part["seconds"] / part["items"] for part in (result["ours"], plain))
    return round(mine / theirs, 2)


def told(result: Result) -> str:
    """Say a step's result in a line."""
    ours, times = result["ours"], ratio(result)
    text = f"{ours['items']:,} {ours['unit']}, {ours['seconds']:.1f} s, {ours['peak_gb']:.2f} GB"
    return text if times is None else f"{text}; {times:.2f}× the baseline's time"


def size(place: Path) -> int:
    """Add up the bytes of a run's files."""
    return sum(file.stat().st_size for file in place.rglob("*") if file.is_file())


def draw(directory: Path) -> Path:
    """Draw seconds and peaks of memory against what was worked through, a line a step."""
    scales = sorted(directory.glob("*/results.json"), key=lambda path: float(path.parent.name))
    runs = [kept_results(path.parent) for path in scales]
    figure, (left, right) = plt.subplots(1, 2, figsize=(12, 5), layout="constrained")
    for name in STEPS:
        parts = [run[name]["ours"] for run in runs if name in run]
        if not parts:
            continue
        items = [part["items"] for part in parts]
        label = f"{name} ({parts[0]['unit']})"
        left.loglog(items, [part["seconds"] for part in parts], "o-", label=label)
        right.semilogx(items, [part["peak_gb"] for part in parts], "o-", label=label)
    left.set(xlabel="events, clients, tokens", ylabel="seconds", title="Time")
    right.set(xlabel="events, clients, tokens", ylabel="GB", title="Peak of memory", ylim=(0, None))
    left.legend(fontsize="small")
    figure.suptitle(describe(), fontsize="small")
    path = directory / "full_log.png"
    figure.savefig(path, dpi=110)
    return path


if __name__ == "__main__":
    main()
