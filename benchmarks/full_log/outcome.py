"""The costs of the steps: as a line, a picture, and a table in a document."""

import json
import math
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt

from benchmarks.full_log.step import Step
from benchmarks.machine import describe, today

#: Measurements of a step (``ours``) and of its baseline (``baseline``), and their ``date``.
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
    """Read the results of a scale."""
    path = place / "results.json"
    return json.loads(path.read_text()) if path.exists() else {}


def figures(result: Results) -> dict[str, float]:
    """Return all figures of a step by name; ``ratio`` is that of the times per item."""
    ours, found = result["ours"], {}
    if plain := result.get("baseline"):
        mine, theirs = (part["seconds"] / part["items"] for part in (ours, plain))
        found["ratio"] = mine / theirs
    return {"seconds": ours["seconds"], "peak_gb": ours["peak_gb"], **found, **ours["also"]}


def ratios(results: Mapping[str, Results]) -> dict[str, float]:
    """Return the ratios of the steps with a baseline."""
    return {name: f["ratio"] for name, r in results.items() if "ratio" in (f := figures(r))}


def summary(result: Results) -> str:
    """Summarize the costs of a step in one line."""
    ours, found = result["ours"], figures(result)
    parts = [_formatted(name, found[name]) for name in _FORMS if name in found]
    theirs = result.get("baseline", {}).get("also", {})
    if "cpu_s_per_100k" in theirs:
        parts.append(f"baseline {_formatted('cpu_s_per_100k', theirs['cpu_s_per_100k'])}")
    return f"{ours['items']:,} {ours['unit']}: {', '.join(parts)}"


def _formatted(name: str, value: float) -> str:
    if name == "seconds" and value < 0.05:
        return f"{value * 1e3:.3f} ms"
    return _FORMS[name].format(value)


def slope(runs: Runs, name: str) -> float | None:
    """Return the exponent of the growth of a step's time between the two largest sizes."""
    found = [(scale, run[name]["ours"]["seconds"]) for scale, run in runs.items() if name in run]
    if len(found) < 2:
        return None
    (small, before), (large, after) = found[-2:]
    return math.log(after / before) / math.log(large / small)


def _bounds(step: Step, result: Results | None) -> str:
    """Format a step's bounds and mark those that are missed."""
    found = figures(result) if result else {}
    texts = {name: _formatted(name, bound) for name, bound in step.bounds.items()}
    missed = {name for name, bound in step.bounds.items() if found.get(name, 0) > bound}
    return ", ".join(f"{text} **missed**" * (n in missed) or text for n, text in texts.items())


def table(steps: Mapping[str, Step], runs: Runs) -> str:
    """Format a Markdown table with one row per step; bounds are checked at full size only.

    Rows begin with the names that ``--steps`` accepts.
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
        bounds = _bounds(step, runs[1.0].get(name) if 1.0 in runs else None)
        rest = ["" if grown is None else f"{grown:z.2f}", step.against, bounds]
        lines.append(f"| {' | '.join([f'`{name}`: {step.title}', *cells, *rest])} |")
    return "\n".join(lines)


def earlier(runs: Runs) -> str:
    """List the steps that were not measured on the day that describes the machine."""
    found: dict[str, list[str]] = {}
    for scale, run in runs.items():
        for name, result in run.items():
            date = result.get("date", "on an unknown day")
            if date != today():
                found.setdefault(f"{100 * scale:g}% {date}", []).append(f"`{name}`")
    measured = "; ".join(f"{when}: {', '.join(names)}" for when, names in found.items())
    return measured and f"Measured earlier, with the versions of that day: {measured}."


def append(steps: Mapping[str, Step], runs: Runs, picture: Path, document: Path) -> None:
    """Append machine, table and picture of a run to a document."""
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
    """Draw seconds and peak memory against the size of the log, one line per step."""
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
    left.set(ylabel="seconds (per lookup)", title="Time", **ticks)
    right.set(ylabel="GB", title="Peak memory, including Python and libraries", ylim=(0, None))
    for axes in (left, right):
        axes.set(xlabel="share of a log of the challenge's size")
        axes.minorticks_off()
        axes.grid(alpha=0.3)
    figure.legend(loc="outside right center", fontsize="small")
    figure.suptitle(describe(), fontsize="small")
    figure.savefig(path, dpi=110)
    plt.close(figure)
    return path
