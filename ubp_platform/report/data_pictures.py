"""Pictures of the input: the map of clients, training losses, and the event log."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter, date2num
from matplotlib.ticker import FuncFormatter

from ubp_platform.evaluation.record import BlockRecord, Evaluation
from ubp_platform.report.drawing import (
    BLUE,
    draw_losses,
    draw_map,
    mark_powers,
    plain_number,
    plane,
)
from ubp_platform.report.looks import SMALL, TYPE_COLOURS, WIDE, name_rows
from ubp_platform.report.svg import Picture, picture
from ubp_platform.warehouse.shape import Shape


@dataclass(frozen=True)
class Cloud:
    """Clients to draw as points on a map.

    Parameters
    ----------
    name : str
        Name of the representation.
    vectors : ndarray of float32, shape (n_clients, width)
    colours : mapping of str to ndarray, shape (n_clients,)
        An interpretable quantity per picture.
    """

    name: str
    vectors: np.ndarray
    colours: Mapping[str, np.ndarray]


def map_pictures(cloud: Cloud) -> Iterator[Picture]:
    """Draw clients as points, those with similar vectors close together."""
    points = plane(cloud.vectors)
    for title, quantity in cloud.colours.items():
        draw = partial(draw_map, points=points, quantity=quantity, size=8)
        alt = f"Map of {len(points):,} clients by their {cloud.name}, coloured by: {title}"
        yield picture(title, alt, (WIDE, 4.1), draw)


def training_pictures(blocks: Sequence[BlockRecord]) -> list[Picture]:
    """Draw the losses of each block that is trained by epochs or iterations."""
    return [
        picture(
            block.name,
            f"Losses of {block.name}: {', '.join(block.report.curves)}",
            (SMALL, 2.6),
            partial(draw_losses, report=block.report),
        )
        for block in blocks
        if block.report.curves
    ]


def data_pictures(shape: Shape, record: Evaluation) -> list[Picture]:
    """Draw the events per week, and a histogram of the events per client."""
    weekly = partial(_draw_weeks, shape=shape, record=record)
    means = "; ".join(f"{name} {counts.mean():,.0f}" for name, counts in shape.weekly.items())
    alt = f"Events per week by type, {len(shape.weeks)} weeks; on average {means}"
    groups = "; ".join(map("{} events: {:,} clients".format, _ranges(shape), shape.activity))
    return [
        picture("Events per week", alt, (WIDE, 3.4), weekly),
        picture("Events per client", groups, (WIDE, 3.4), partial(_draw_activity, shape=shape)),
    ]


def _draw_weeks(ax: Axes, shape: Shape, record: Evaluation) -> None:
    middles = np.array(shape.weeks) + timedelta(days=3.5)
    for name, counts in shape.weekly.items():
        # A week without events is a gap, because a logarithmic axis has no 0.
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
        ax.yaxis.set_major_formatter(FuncFormatter(plain_number))
    windows = (
        ("train", "#eef2f6", "right", record.cutoff, record.validation_start),
        ("validation", "#dde5ee", "left", record.validation_start, record.end),
    )
    between, across = date2num(record.validation_start), ax.get_xaxis_transform()
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
    name_rows(ax, _ranges(shape), [f"{clients:,}" for clients in shape.activity])
    ax.set(xlabel="clients", ylabel="events", xlim=(0, None))
    ax.grid(visible=False, axis="y")


def _ranges(shape: Shape) -> list[str]:
    """Return the groups' numbers of events: 1, 2–3, 4–7, …"""
    powers = range(len(shape.activity))
    return ["1" if not power else f"{2**power:,}–{2 ** (power + 1) - 1:,}" for power in powers]
