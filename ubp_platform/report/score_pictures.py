"""The pictures of the report: scores, the map of clients, losses, and the data."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter, date2num
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator

from ubp_platform.evaluation.record import BlockRecord, Evaluation
from ubp_platform.evaluation.representations import Kind
from ubp_platform.evaluation.scores import (
    Average,
    Curves,
    Difference,
    RepresentationInfo,
    Scores,
)
from ubp_platform.events.schema import EVENT_TYPES
from ubp_platform.report.pictures import BLUE, GREEN, ORANGE, draw_losses, draw_map, plane
from ubp_platform.report.svg import FAINT, INK, Picture, label_points, picture, short
from ubp_platform.warehouse.shape import Shape

_PINK = "#CC79A7"
#: Colour of each kind of representation, its mark in pictures, and one like it for text.
LOOKS: Mapping[Kind, tuple[str, str, str]] = {
    "profile": (BLUE, "D", "◆"),
    "compact": (BLUE, "d", "◇"),
    "foreign": (_PINK, "^", "▲"),
    "block": (ORANGE, "o", "●"),
    "baseline": (GREEN, "s", "■"),
}
#: Colour of each event type.
TYPE_COLOURS = dict(zip(EVENT_TYPES, (BLUE, GREEN, ORANGE, INK, _PINK), strict=True))
# Widths in inches: of these four, three and two stand side by side on a screen.
_SMALL, _MEDIUM, WIDE = 3.3, 4.6, 4.9

Ranked = Sequence[RepresentationInfo]


@dataclass(frozen=True)
class Line:
    """What a line in several pictures stands for."""

    name: str
    color: str
    dashed: bool = False


@dataclass(frozen=True)
class Cloud:
    """Clients to be drawn as points.

    Parameters
    ----------
    name : str
        Of the representation.
    vectors : ndarray of float32, shape (n_clients, width)
    colours : mapping of str to ndarray, shape (n_clients,)
        A quantity a person understands for each picture.
    """

    name: str
    vectors: np.ndarray
    colours: Mapping[str, np.ndarray]


def task_pictures(scores: Scores, ranked: Ranked) -> list[Picture]:
    """Draw the score of each representation on each task, in the order given."""
    found = []
    for task in scores.tasks:
        averages = [scores.score(info.name, task.name) for info in ranked]
        told = "; ".join(_told(i.name, a) for i, a in zip(ranked, averages, strict=True))
        intervals = [scores.interval(info.name, task.name) for info in ranked]
        draw = partial(_draw_scores, ranked=ranked, averages=averages, intervals=intervals)
        size = (_MEDIUM, _height(ranked))
        found.append(picture(task.name, f"Scores on {task.name}: {told}", size, draw))
    return found


def _draw_scores(
    ax: Axes,
    ranked: Ranked,
    averages: Sequence[Average],
    intervals: Sequence[tuple[float, float]],
) -> None:
    rows = zip(ranked, averages, intervals, strict=True)
    for place, (info, average, interval) in enumerate(rows):
        color, mark, _ = LOOKS[info.kind]
        ax.plot(interval, [place, place], color=color, marker="|", lw=1.2)
        ax.plot(average.mean, place, mark, color=color, ms=6)
    _name_rows(ax, [info.name for info in ranked], [f"{a.mean:.3f}" for a in averages])


def ablation_pictures(scores: Scores) -> list[Picture]:
    """Draw what the profile loses without each block: in the sum, then by task."""
    without = scores.of_kind("without")
    if not without:
        return []
    without.sort(key=lambda info: -scores.lost(info.name).mean)
    names = [info.name.removeprefix("without ") for info in without]
    found = []
    for task in (None, *(info.name for info in scores.tasks)):
        losses = [scores.lost(info.name, task) for info in without]
        told = "; ".join(map(_told, names, losses))
        alt = f"What the profile loses without each block, {task or 'sum of all tasks'}: {told}"
        size = (_MEDIUM if task else WIDE, _height(without) + 0.2)
        draw = partial(_draw_losses_of, names=names, losses=losses)
        found.append(picture(task or "sum of all tasks", alt, size, draw))
    return found


def _draw_losses_of(ax: Axes, names: Sequence[str], losses: Sequence[Difference]) -> None:
    for place, loss in enumerate(losses):
        ax.barh(place, loss.mean, 0.6, color=BLUE if loss.sign else FAINT)
        ax.plot([loss.low, loss.high], [place, place], color=INK, marker="|", lw=1.2)
    ax.axvline(0, color=FAINT, lw=1)
    ax.set_xlabel("score lost without it")
    _name_rows(ax, names, [signed(loss.mean) for loss in losses])


def _name_rows(ax: Axes, names: Sequence[str], values: Sequence[str]) -> None:
    """Write a row's name at the left and its value at the right; the first row is on top."""
    ax.set_yticks(range(len(names)), [short(name) for name in names], color=INK)
    ax.set_ylim(len(names) - 0.4, -0.6)
    for place, value in enumerate(values):
        ax.text(1.03, place, value, transform=ax.get_yaxis_transform(), va="center_baseline")
    ax.tick_params(axis="y", length=0)
    ax.spines["left"].set_visible(False)
    ax.grid()
    ax.margins(x=0.08)
    ax.xaxis.set_major_locator(MaxNLocator(4))


def _height(rows: Sequence[object]) -> float:
    return 0.6 + 0.25 * len(rows)


def _told(name: str, average: Average | Difference) -> str:
    return f"{name} {average.mean:.3f}"


def signed(number: float) -> str:
    """Write a difference.

    Examples
    --------
    >>> signed(0.0123), signed(-0.5)
    ('+0.012', '−0.500')
    """
    return f"{number:+.3f}".replace("-", "−")


def curve_lines(ranked: Ranked) -> dict[str, Line]:
    """Choose whose curves are drawn, and how: the best block's, and all that are no block."""
    lines: dict[str, Line] = {}
    seen: dict[Kind, int] = {}
    for info in ranked:
        seen[info.kind] = seen.get(info.kind, 0) + 1
        if seen[info.kind] == 1 or info.kind != "block":
            lines[info.name] = Line(info.name, LOOKS[info.kind][0], seen[info.kind] > 1)
    return lines


def curve_pictures(scores: Scores, lines: Mapping[str, Line]) -> list[Picture]:
    """Draw ROC and calibration curves of the binary tasks, with the first seed."""
    found = []
    for task in scores.tasks:
        results = {name: scores.of(name, task.name)[0] for name in lines}
        drawn = [(lines[name], r.curves) for name, r in results.items() if r.curves]
        if not drawn:
            continue
        told = "; ".join(f"{name} {result.metrics.auroc:.3f}" for name, result in results.items())
        pairs = (
            ("ROC", f"ROC curves of {task.name}; area below them: {told}", _draw_roc),
            ("calibration", f"Calibration of {task.name} in ten groups", _draw_calibration),
        )
        for what, alt, draw in pairs:
            title = f"{task.name}: {what}"
            found.append(picture(title, alt, (_SMALL, _SMALL), partial(draw, drawn=drawn)))
    return found


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


def width_picture(scores: Scores, ranked: Ranked) -> Picture:
    """Draw the sum of scores against the width."""

    def draw(ax: Axes) -> None:
        sums = [scores.score(info.name).mean for info in ranked]
        for info, total in zip(ranked, sums, strict=True):
            color, mark, _ = LOOKS[info.kind]
            ax.plot(info.width, total, mark, color=color, ms=7)
        ax.set_xscale("log")
        mark_powers(ax.xaxis, (1, 2, 5))
        ax.set(xlabel="numbers a client", ylabel="sum of scores")
        ax.margins(x=0.2, y=0.15)
        ax.grid()
        label_points(ax, [i.name for i in ranked], [i.width for i in ranked], sums)

    told = "; ".join(f"{i.name} {i.width}, {scores.score(i.name).mean:.3f}" for i in ranked)
    return picture("", f"Width and sum of scores: {told}", (WIDE, 4.0), draw)


def mark_powers(axis: Axis, digits: Sequence[float]) -> None:
    """Write a logarithmic axis' numbers out, those that begin with some digits."""
    axis.set_major_locator(LogLocator(subs=digits))
    axis.set_major_formatter(FuncFormatter(_whole))
    axis.set_minor_locator(NullLocator())


def _whole(number: float, _: int) -> str:
    return f"{number:,.0f}" if number >= 1 else f"{number:g}"


def map_pictures(cloud: Cloud) -> Iterator[Picture]:
    """Draw clients as points, near where their vectors are alike."""
    points = plane(cloud.vectors)
    for title, quantity in cloud.colours.items():
        draw = partial(draw_map, points=points, quantity=quantity, size=8)
        alt = f"Map of {len(points):,} clients by their {cloud.name}, coloured by: {title}"
        yield picture(title, alt, (WIDE, 4.1), draw)


def training_pictures(blocks: Sequence[BlockRecord]) -> list[Picture]:
    """Draw the losses of each block that learns by epochs or iterations."""
    return [
        picture(
            block.name,
            f"Losses of {block.name}: {', '.join(block.report.curves)}",
            (_SMALL, 2.6),
            partial(draw_losses, report=block.report),
        )
        for block in blocks
        if block.report.curves
    ]


def data_pictures(shape: Shape, found: Evaluation) -> list[Picture]:
    """Draw the events a week, and how many clients have how many events."""
    weekly = partial(_draw_weeks, shape=shape, found=found)
    told = "; ".join(f"{name} {counts.mean():,.0f}" for name, counts in shape.weekly.items())
    alt = f"Events a week by type, {len(shape.weeks)} weeks; on average {told}"
    told = "; ".join(map("{} events: {:,} clients".format, _ranges(shape), shape.activity))
    return [
        picture("Events a week", alt, (WIDE, 3.4), weekly),
        picture("Events a client", told, (WIDE, 3.4), partial(_draw_activity, shape=shape)),
    ]


def _draw_weeks(ax: Axes, shape: Shape, found: Evaluation) -> None:
    middles = np.array(shape.weeks) + timedelta(days=3.5)
    for name, counts in shape.weekly.items():
        # A week without an event is a gap: a logarithm has no place for it.
        seen = np.where(counts > 0, counts, np.nan)
        ax.plot(middles, seen, "o-", ms=3, color=TYPE_COLOURS[name])
    means = [counts.mean() for counts in shape.weekly.values()]
    if max(means) > 10 * min(means):
        ax.set_yscale("log")
        ax.set_ylabel("events, logarithmic")
        mark_powers(ax.yaxis, (1, 3))
    else:
        ax.set_ylabel("events")
        ax.set_ylim(0, None)
        ax.yaxis.set_major_formatter(FuncFormatter(_whole))
    windows = (
        ("train", "#eef2f6", "right", found.cutoff, found.validation_start),
        ("validation", "#dde5ee", "left", found.validation_start, found.end),
    )
    between, across = date2num(found.validation_start), ax.get_xaxis_transform()
    for name, color, side, *times in windows:
        ax.axvspan(*date2num(times), color=color, lw=0, zorder=0)
        aside: Any = {"xytext": (4 if side == "left" else -4, 2), "textcoords": "offset points"}
        ax.annotate(name, (between, 1.0), xycoords=across, ha=side, fontsize=8.5, **aside)
    ax.grid(axis="y")
    dates = AutoDateLocator(maxticks=6)
    ax.xaxis.set_major_locator(dates)
    ax.xaxis.set_major_formatter(ConciseDateFormatter(dates, show_offset=False))


def _draw_activity(ax: Axes, shape: Shape) -> None:
    ax.barh(range(len(shape.activity)), shape.activity, 0.75, color=BLUE)
    _name_rows(ax, _ranges(shape), [f"{clients:,}" for clients in shape.activity])
    ax.set(xlabel="clients", ylabel="events", xlim=(0, None))
    ax.grid(visible=False, axis="y")


def _ranges(shape: Shape) -> list[str]:
    """Name the groups of clients: 1, 2–3, 4–7, … events."""
    powers = range(len(shape.activity))
    return ["1" if not power else f"{2**power:,}–{2 ** (power + 1) - 1:,}" for power in powers]
