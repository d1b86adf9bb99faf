"""Pictures of scores: by task, without each block, and by width."""

from collections.abc import Sequence
from functools import partial

from matplotlib.axes import Axes

from ubp_platform.evaluation.scores import Average, Difference, Scores
from ubp_platform.report.drawing import BLUE, mark_powers
from ubp_platform.report.looks import LOOKS, MEDIUM, WIDE, Ranked, name_rows
from ubp_platform.report.svg import FAINT, INK, Picture, height, label_points, picture, signed


def task_pictures(scores: Scores, ranked: Ranked) -> list[Picture]:
    """Draw the score of each representation on each task, in the order given."""
    pictures = []
    for task in scores.tasks:
        averages = [scores.score(info.name, task.name) for info in ranked]
        values = "; ".join(_entry(i.name, a) for i, a in zip(ranked, averages, strict=True))
        intervals = [scores.interval(info.name, task.name) for info in ranked]
        draw = partial(_draw_scores, ranked=ranked, averages=averages, intervals=intervals)
        size = (MEDIUM, height(ranked))
        pictures.append(picture(task.name, f"Scores on {task.name}: {values}", size, draw))
    return pictures


def _draw_scores(
    ax: Axes, ranked: Ranked, averages: Sequence[Average], intervals: Sequence[tuple[float, float]]
) -> None:
    rows = zip(ranked, averages, intervals, strict=True)
    for row, (info, average, interval) in enumerate(rows):
        color, mark, _ = LOOKS[info.kind]
        ax.plot(interval, [row, row], color=color, marker="|", lw=1.2)
        ax.plot(average.mean, row, mark, color=color, ms=6)
    name_rows(ax, [info.name for info in ranked], [f"{a.mean:.3f}" for a in averages])


def ablation_pictures(scores: Scores) -> list[Picture]:
    """Draw what the profile loses without each block: in the sum, then per task."""
    without = scores.of_kind("without")
    if not without:
        return []
    without.sort(key=lambda info: -scores.lost(info.name).mean)
    names = [info.name.removeprefix("without ") for info in without]
    pictures = []
    for task in (None, *(info.name for info in scores.tasks)):
        losses = [scores.lost(info.name, task) for info in without]
        values = "; ".join(map(_entry, names, losses))
        alt = f"What the profile loses without each block, {task or 'sum of all tasks'}: {values}"
        size = (MEDIUM if task else WIDE, height(without) + 0.2)
        draw = partial(_draw_ablation, names=names, losses=losses)
        pictures.append(picture(task or "sum of all tasks", alt, size, draw))
    return pictures


def _draw_ablation(ax: Axes, names: Sequence[str], losses: Sequence[Difference]) -> None:
    for row, loss in enumerate(losses):
        ax.barh(row, loss.mean, 0.6, color=BLUE if loss.sign else FAINT)
        ax.plot([loss.low, loss.high], [row, row], color=INK, marker="|", lw=1.2)
    ax.axvline(0, color=FAINT, lw=1)
    ax.set_xlabel("score lost without it")
    name_rows(ax, names, [signed(loss.mean) for loss in losses])


def width_picture(scores: Scores, ranked: Ranked) -> Picture:
    """Draw the sum of scores against the width."""

    def draw(ax: Axes) -> None:
        sums = [scores.score(info.name).mean for info in ranked]
        for info, total in zip(ranked, sums, strict=True):
            color, mark, _ = LOOKS[info.kind]
            ax.plot(info.width, total, mark, color=color, ms=7)
        ax.set_xscale("log")
        mark_powers(ax.xaxis, (1, 2, 5))
        ax.set(xlabel="numbers per client", ylabel="sum of scores")
        ax.margins(x=0.2, y=0.15)
        ax.grid()
        label_points(ax, [i.name for i in ranked], [i.width for i in ranked], sums)

    values = "; ".join(f"{i.name} {i.width}, {scores.score(i.name).mean:.3f}" for i in ranked)
    return picture("", f"Width and sum of scores: {values}", (WIDE, 4.0), draw)


def _entry(name: str, average: Average | Difference) -> str:
    return f"{name} {average.mean:.3f}"
