"""The picture of scores with fewer labels."""

from functools import partial

from matplotlib.axes import Axes

from ubp_platform.evaluation.scores import Scores
from ubp_platform.report.drawing import mark_powers
from ubp_platform.report.looks import LOOKS, WIDE
from ubp_platform.report.svg import Picture, picture

# Distinguish lines of the same colour.
_STROKES = ("-", "--", ":", "-.")


def label_pictures(scores: Scores) -> list[Picture]:
    """Draw the sum of scores against the number of labelled clients; no picture without budgets."""
    if not scores.budgets:
        return []
    entries = []
    for info in scores.budgeted():
        means = [scores.score(info.name, labels=labels).mean for labels in (*scores.budgets, None)]
        entries.append(f"{info.name} {', '.join(map('{:.3f}'.format, means))}")
    alt = f"Sum of scores with fewer labelled clients, in ascending order: {'; '.join(entries)}"
    return [picture("", alt, (WIDE, 4.0), partial(_draw, scores=scores))]


def _draw(ax: Axes, scores: Scores) -> None:
    counts = [*scores.budgets, max(task.clients for task in scores.tasks)]
    rows = scores.budgeted()
    seen: dict[str, int] = {}
    for row, info in enumerate(rows):
        color, mark, _ = LOOKS[info.kind]
        stroke = _STROKES[seen.get(color, 0) % len(_STROKES)]
        seen[color] = seen.get(color, 0) + 1
        budgets = (*scores.budgets, None)
        means = [scores.score(info.name, labels=labels).mean for labels in budgets]
        # Side by side, so that whiskers do not cover each other.
        xs = [count * 1.04 ** (row - (len(rows) - 1) / 2) for count in counts]
        ax.plot(xs, means, color=color, ls=stroke, marker=mark, ms=5, lw=1.6, label=info.name)
        for x, labels in zip(xs, budgets, strict=True):
            ax.plot([x, x], scores.interval(info.name, labels=labels), color=color, lw=1)
    ax.set_xscale("log")
    mark_powers(ax.xaxis, (1, 3))
    ax.set(xlabel="labelled clients", ylabel="sum of scores")
    ax.grid()
    if ax.get_legend_handles_labels()[0]:
        ax.legend(frameon=False, fontsize=8.5)
