"""A log of the challenge's size, or a part of it, through every step up to the vectors.

Each step runs in a process of its own, which tells its time and its peak of memory, and beside it
what it is compared with in another. The log, the warehouse and the results stay in the directory;
`--steps` runs some of the steps again.

    python -m benchmarks.full_log --scale 0.01     # minutes
    python -m benchmarks.full_log --scale 1        # 176 million events
"""

import argparse
import json
import os
import subprocess
import sys
import time
from dataclasses import asdict
from pathlib import Path

from benchmarks.full_log_steps import STEPS
from benchmarks.machine import report


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--scale", type=float, default=0.01)
    parser.add_argument("--directory", type=Path, default=Path("build/full_log"))
    parser.add_argument("--steps", nargs="*", choices=STEPS, default=[*STEPS])
    parser.add_argument("--only", nargs=2, help=argparse.SUPPRESS)  # this process is one step
    arguments = parser.parse_args()
    place = arguments.directory / f"{arguments.scale:g}"
    if arguments.only:
        name, which = arguments.only
        step = STEPS[name][which == "baseline"]
        assert step is not None
        start = time.perf_counter()
        done = step(place, arguments.scale)
        done.seconds = done.seconds or time.perf_counter() - start
        print(json.dumps(asdict(done)))
        return
    place.mkdir(parents=True, exist_ok=True)
    kept = place / "results.json"
    results = json.loads(kept.read_text()) if kept.exists() else {}
    rows = []
    for name in arguments.steps:
        ours = measured(name, "ours", arguments)
        plain = measured(name, "baseline", arguments) if STEPS[name][1] else None
        results[name] = {"ours": ours, "baseline": plain}
        kept.write_text(json.dumps(results, indent=1))
        text = f"{ours['items']:,} {ours['unit']}, {ours['seconds']:.1f} s, {ours['peak_gb']} GB"
        if plain:
            text += f"; {ratio(ours, plain):.2f}× of {plain['seconds']:.1f} s"
        rows.append((name, text))
    report(
        "full_log",
        f"{arguments.scale:g} of a log of the challenge's size",
        rows,
        scale=arguments.scale,
        disk_gb=round(sum(f.stat().st_size for f in place.rglob("*") if f.is_file()) / 1e9, 2),
        ratio=max((ratio(**r) for r in results.values() if r["baseline"]), default=1.0),
    )


def ratio(ours: dict, baseline: dict) -> float:
    """Compare the times of one item."""
    mine, plain = (part["seconds"] / part["items"] for part in (ours, baseline))
    return round(mine / plain, 2)


def measured(name: str, which: str, arguments: argparse.Namespace) -> dict:
    """Run one step in a process of its own, and take its peak of memory from the system."""
    command = [sys.executable, "-W", "ignore", "-m", "benchmarks.full_log", "--only", name, which]
    command += ["--scale", str(arguments.scale), "--directory", str(arguments.directory)]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, env={"OMP_WAIT_POLICY": "PASSIVE", **os.environ}
    )
    assert process.stdout is not None
    said = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        sys.exit(f"{name} ({which}) failed")
    found = json.loads(said.strip().splitlines()[-1])
    cpu = usage.ru_utime + usage.ru_stime
    peak = usage.ru_maxrss * 1024 / 1e9
    return {**found, "cpu_s": round(cpu, 1), "peak_gb": round(peak, 2)}


if __name__ == "__main__":
    main()
