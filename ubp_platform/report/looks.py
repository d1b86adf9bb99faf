"""Colours, sizes and labels shared by the pictures of the report."""

from collections.abc import Mapping, Sequence

from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from ubp_platform.evaluation.representations import Kind
from ubp_platform.evaluation.results import RepresentationInfo
from ubp_platform.events.schema import EVENT_TYPES
from ubp_platform.report.drawing import BLUE, GREEN, ORANGE
from ubp_platform.report.svg import INK, short

_PINK = "#CC79A7"
#: Colour of each kind of representation, its mark in pictures, and a similar one for text.
LOOKS: Mapping[Kind, tuple[str, str, str]] = {
    "profile": (BLUE, "D", "◆"),
    "compact": (BLUE, "d", "◇"),
    "foreign": (_PINK, "^", "▲"),
    "block": (ORANGE, "o", "●"),
    "baseline": (GREEN, "s", "■"),
}
#: Colour of each event type.
TYPE_COLOURS = dict(zip(EVENT_TYPES, (BLUE, GREEN, ORANGE, INK, _PINK), strict=True))
#: Widths in inches: four, three or two pictures fit side by side on a screen.
SMALL, MEDIUM, WIDE = 3.3, 4.6, 4.9

Ranked = Sequence[RepresentationInfo]


def name_rows(ax: Axes, names: Sequence[str], values: Sequence[str]) -> None:
    """Label each row with its name on the left and its value on the right, from the top."""
    ax.set_yticks(range(len(names)), [short(name) for name in names], color=INK)
    ax.set_ylim(len(names) - 0.4, -0.6)
    for row, value in enumerate(values):
        ax.text(1.03, row, value, transform=ax.get_yaxis_transform(), va="center_baseline")
    ax.tick_params(axis="y", length=0)
    ax.spines["left"].set_visible(False)
    ax.grid()
    ax.margins(x=0.08)
    ax.xaxis.set_major_locator(MaxNLocator(4))
