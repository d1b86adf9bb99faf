"""What the steps have cost: a line, a picture, a table in a document."""

import json
import math
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt

from benchmarks.full_log.step import Step
from benchmarks.machine import describe, today

#: What was measured of a step (``ours``), of what it is compared with (``baseline``), and when
#: (``date``).
Results = dict[str, Any]
Runs = Mapping[float, Mapping[str, Results]]
_FORMS = {
    "seconds": "{:.1f} s",
    "peak_gb": "{:.2f} GB",
    "ratio": "{:.2f}×",
    "cpu_s_per_100k": "{:.1f} CPU-s per 100,000",
    "p99_to_p50": "p99 {:.1f} × p50",
    "100_at_once_ms": "100 at once {:.1f} ms",
    "server_gb": "server {:.2f} GB",
}


def kept(place: Path) -> dict[str, Results]:
    """Give what was measured at a scale."""
    path = place / "results.json"
    return json.loads(path.read_text()) if path.exists() else {}


def figures(result: Results) -> dict[str, float]:
    """Give all figures of a step under one name each; ``ratio`` is of the times of one item."""
    ours, found = result["ours"], {}
    if plain := result.get("baseline"):
        mine, theirs = (part["seconds"] / part["items"] for part in (ours, plain))
        found["ratio"] = mine / theirs
    return {"seconds": ours["seconds"], "peak_gb": ours["peak_gb"], **found, **ours["also"]}


def ratios(results: Mapping[str, Results]) -> dict[str, float]:
    """Give the ratios of the steps that have a baseline."""
    return {name: f["ratio"] for name, r in results.items() if "ratio" in (f := figures(r))}


def summary(result: Results) -> str:
    """Say in a line what a step has cost."""
    ours, found = result["ours"], figures(result)
    told = [_told(name, found[name]) for name in _FORMS if name in found]
    theirs = result.get("baseline", {}).get("also", {})
    if "cpu_s_per_100k" in theirs:
        told.append(f"baseline {_told('cpu_s_per_100k', theirs['cpu_s_per_100k'])}")
    return f"{ours['items']:,} {ours['unit']}: {', '.join(told)}"


def _told(name: str, value: float) -> str:
    if name == "seconds" and value < 0.05:
        return f"{value * 1e3:.3f} ms"
    return _FORMS[name].format(value)


def slope(runs: Runs, name: str) -> float | None:
    """Give the exponent with which a step's time grows between the two largest sizes."""
    found = [(scale, run[name]["ours"]["seconds"]) for scale, run in runs.items() if name in run]
    if len(found) < 2:
        return None
    (small, before), (large, after) = found[-2:]
    return math.log(after / before) / math.log(large / small)


def _bounds(step: Step, result: Results | None) -> str:
    """Say a step's bounds, and which of them do not hold."""
    found = figures(result) if result else {}
    told = {name: _told(name, bound) for name, bound in step.bounds.items()}
    missed = {name for name, bound in step.bounds.items() if found.get(name, 0) > bound}
    return ", ".join(f"{text} **missed**" * (n in missed) or text for n, text in told.items())


def table(steps: Mapping[str, Step], runs: Runs) -> str:
    """Write the table of a document, a row a step; bounds are judged at full size only.

    Rows begin with what ``--steps`` takes.
    """
    shown = [
        "step",
        *(f"{100 * scale:g}%" for scale in runs),
        "slope",
        "×: time of one item against",
        "bound" if 1.0 in runs else "bound at 100%",
    ]
    lines = [f"| {' | '.join(shown)} |", "|" + "---|" * len(shown)]
    for name, step in steps.items():
        if not any(name in run for run in runs.values()):
            continue
        cells = [summary(run[name]) if name in run else "" for run in runs.values()]
        grown = slope(runs, name)
        judged = _bounds(step, runs[1.0].get(name) if 1.0 in runs else None)
        rest = ["" if grown is None else f"{grown:z.2f}", step.against, judged]
        lines.append(f"| {' | '.join([f'`{name}`: {step.title}', *cells, *rest])} |")
    return "\n".join(lines)


def earlier(runs: Runs) -> str:
    """Say which steps were not measured today: what is told of the machine is of today."""
    found: dict[str, list[str]] = {}
    for scale, run in runs.items():
        for name, result in run.items():
            date = result.get("date", "on an unknown day")
            if date != today():
                found.setdefault(f"{100 * scale:g}% {date}", []).append(f"`{name}`")
    told = "; ".join(f"{when}: {', '.join(names)}" for when, names in found.items())
    return told and f"Measured earlier, with the versions of that day: {told}."


def append(steps: Mapping[str, Step], runs: Runs, picture: Path, document: Path) -> None:
    """Write machine, table and picture of a run below what a document says."""
    name = f"full_log_{max(runs):g}.png"
    pictures = document.parent / "pictures"
    pictures.mkdir(exist_ok=True)
    shutil.copy(picture, pictures / name)
    disk = max(figures(result)["disk_gb"] for run in runs.values() for result in run.values())
    sizes = ", ".join(f"{100 * scale:g}%" for scale in runs)
    machine = f"{describe()}. Files took {disk:.1f} GB at most. {earlier(runs)}".rstrip()
    text = f"""
### {today()}: {sizes} of the log

{machine}

{table(steps, runs)}

![Time and memory of each step against the size of the log](pictures/{name})
"""
    with document.open("a", encoding="utf-8") as file:
        file.write(text)


def draw(steps: Mapping[str, Step], runs: Runs, path: Path) -> Path:
    """Draw seconds and peaks of memory against the size of the log, a line a step."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(13, 6), layout="constrained", sharex=True)
    colors = plt.get_cmap("tab20").colors
    for number, name in enumerate(steps):
        if not (sizes := [scale for scale, run in runs.items() if name in run]):
            continue
        parts = [figures(runs[scale][name]) for scale in sizes]
        style = {"marker": "os^D"[number % 4], "color": colors[number % len(colors)]}
        left.loglog(sizes, [part["seconds"] for part in parts], label=name, **style)
        right.semilogx(sizes, [part["peak_gb"] for part in parts], **style)
    scales = [*runs]
    low, high = min(scales), max(scales)
    if low < high:
        left.loglog([low, high], [1, high / low], "--", color="grey", label="slope 1")
    ticks = {"xticks": scales, "xticklabels": [f"{100 * scale:g}%" for scale in scales]}
    left.set(ylabel="seconds (lookups: of one)", title="Time", **ticks)
    right.set(ylabel="GB", title="Peak of memory, Python and libraries included", ylim=(0, None))
    for axes in (left, right):
        axes.set(xlabel="share of a log of the challenge's size")
        axes.minorticks_off()
        axes.grid(alpha=0.3)
    figure.legend(loc="outside right center", fontsize="small")
    figure.suptitle(describe(), fontsize="small")
    figure.savefig(path, dpi=110)
    plt.close(figure)
    return path
