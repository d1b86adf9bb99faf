"""Pictures of the binary tasks: ROC and calibration curves."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from ubp_platform.evaluation.representations import Kind
from ubp_platform.evaluation.results import Curves
from ubp_platform.evaluation.scores import Scores
from ubp_platform.report.looks import LOOKS, SMALL, Ranked
from ubp_platform.report.svg import FAINT, Picture, picture


@dataclass(frozen=True)
class Line:
    """The look of a representation's line in several pictures."""

    name: str
    color: str
    dashed: bool = False


def curve_lines(ranked: Ranked) -> dict[str, Line]:
    """Return the lines of the best block and of all representations that are not blocks."""
    lines: dict[str, Line] = {}
    seen: dict[Kind, int] = {}
    for info in ranked:
        seen[info.kind] = seen.get(info.kind, 0) + 1
        if seen[info.kind] == 1 or info.kind != "block":
            lines[info.name] = Line(info.name, LOOKS[info.kind][0], seen[info.kind] > 1)
    return lines


def curve_pictures(scores: Scores, lines: Mapping[str, Line]) -> list[Picture]:
    """Draw ROC and calibration curves of the binary tasks, for the first seed."""
    pictures = []
    for task in scores.tasks:
        results = {name: scores.of(name, task.name)[0] for name in lines}
        drawn = [(lines[name], r.curves) for name, r in results.items() if r.curves]
        if not drawn:
            continue
        areas = "; ".join(f"{name} {result.metrics.auroc:.3f}" for name, result in results.items())
        pairs = (
            ("ROC", f"ROC curves of {task.name}; area under the curve: {areas}", _draw_roc),
            ("calibration", f"Calibration of {task.name} in ten groups", _draw_calibration),
        )
        for what, alt, draw in pairs:
            title = f"{task.name}: {what}"
            pictures.append(picture(title, alt, (SMALL, SMALL), partial(draw, drawn=drawn)))
    return pictures


def _draw_roc(ax: Axes, drawn: Sequence[tuple[Line, Curves]]) -> None:
    ax.plot([0, 1], [0, 1], color=FAINT, lw=1, ls=":")
    for line, curves in drawn:
        ax.plot(curves.false_positives, curves.true_positives, **_stroke(line))
    ax.set(xlabel="false positive rate", ylabel="true positive rate", aspect="equal")
    ax.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))


def _draw_calibration(ax: Axes, drawn: Sequence[tuple[Line, Curves]]) -> None:
    for line, curves in drawn:
        ax.plot(curves.predicted, curves.observed, marker="o", ms=4, **_stroke(line))
    ends = [*ax.get_xlim(), *ax.get_ylim()]
    both = min(ends), max(ends)
    ax.plot(both, both, color=FAINT, lw=1, ls=":", zorder=0)
    ax.set(xlabel="predicted share", ylabel="true share", aspect="equal", xlim=both, ylim=both)
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_major_locator(MaxNLocator(5))


def _stroke(line: Line) -> dict[str, Any]:
    return {"color": line.color, "ls": "--" if line.dashed else "-", "lw": 1.6}
