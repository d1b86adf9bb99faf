"""The picture of a comparison: a cell per block and measure, orange beyond its limit."""

from pathlib import Path

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure

from ubp_platform.drift.comparison import Comparison
from ubp_platform.drift.limits import LEAST
from ubp_platform.report.drawing import ORANGE, STYLE
from ubp_platform.report.svg import FAINT, INK, Picture, height, picture, short
from ubp_platform.times import shown

#: The heading of each measure.
HEADINGS = {
    "shift": "mean\nmoved",
    "psi": "PSI",
    "columns": "columns\nmoved",
    "auroc": "AUROC",
    "cosine": "cosine",
    "overlap": "neighbours\nkept",
    "absent": "absent",
}
_BLUES = LinearSegmentedColormap.from_list("used", ["#ffffff", "#9fc8e4"])
# Of the file, and of the picture in a page, where a phone must show it.
_WIDTH, _PAGE_WIDTH = 7.6, 6.2


def draw_comparison(found: Comparison, path: Path) -> None:
    """Write the picture as a PNG file."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(_WIDTH, height(found.blocks) + 1.3), layout="constrained")
        ax = figure.subplots()
        _draw(ax, found)
        ax.set_title(f"{title(found)}\n", fontsize=11)
        figure.savefig(path, format="png")


def comparison_picture(found: Comparison) -> Picture:
    """Draw the picture for a page."""
    size = (_PAGE_WIDTH, height(found.blocks) + 0.9)
    return picture("", f"{title(found)}: measures by block", size, lambda ax: _draw(ax, found))


def title(found: Comparison) -> str:
    """Say what was compared, and how it went."""
    times = (shown(side.cutoff).removesuffix(" 00:00") for side in (found.a, found.b))
    names = [
        f"{side.version} at {time}" for side, time in zip((found.a, found.b), times, strict=True)
    ]
    crossed = len(found.crossed)
    verdict = f"{crossed} limit{'s' * (crossed != 1)} crossed" if crossed else "no limit is crossed"
    return f"{names[0]} → {names[1]}: {verdict}"


def _draw(ax: Axes, found: Comparison) -> None:
    for row, block in enumerate(found.blocks):
        for column, name in enumerate(HEADINGS):
            value = block.measured[name]
            if value is None:
                text = "·"
            else:
                used = found.limits.used(name, value)
                colour = ORANGE if used > 1 else _BLUES(used)
                ax.add_patch(_cell(column, row, colour))
                text = number(name, value)
            beyond = value is not None and found.limits.used(name, value) > 1
            ax.text(
                column,
                row,
                text,
                ha="center",
                va="center",
                color="white" if beyond else INK,
                weight="bold" if beyond else "normal",
            )
        if not block.same_space:
            ax.text(len(HEADINGS) - 0.3, row, "another space", va="center", color=FAINT)
    _label(ax, found)


def _label(ax: Axes, found: Comparison) -> None:
    limits = [
        f"{words}\n{'≥' if name in LEAST else '≤'} {number(name, getattr(found.limits, name))}"
        for name, words in HEADINGS.items()
    ]
    ax.set_xticks(range(len(HEADINGS)), limits, color=INK)
    ax.set_yticks(
        range(len(found.blocks)), [short(block.block) for block in found.blocks], color=INK
    )
    ax.set_xlim(-0.5, len(HEADINGS) - 0.5)
    ax.set_ylim(len(found.blocks) - 0.5, -0.5)
    ax.tick_params(length=0, top=False, labeltop=True, bottom=False, labelbottom=False)
    ax.spines[:].set_visible(False)
    gone = found.gone / found.a.clients if found.a.clients else 0
    ax.text(
        -0.5,
        len(found.blocks) - 0.3,
        f"{found.sampled:,} of {found.common + found.new + found.gone:,} clients sampled; "
        f"{found.new:,} new, {found.gone:,} gone ({gone:.1%})\n"
        "The bluer, the nearer to the limit; orange: beyond it",
        va="top",
        color=ORANGE if gone > found.limits.gone else FAINT,
    )


def _cell(column: int, row: int, colour: object) -> mpl.patches.Rectangle:
    return mpl.patches.Rectangle(
        (column - 0.47, row - 0.44), 0.94, 0.88, facecolor=colour, edgecolor="#e8eaed", lw=0.6
    )


def number(measure: str, value: float) -> str:
    """Format a measure."""
    if measure in ("absent", "columns", "gone"):
        return f"{value:.1%}" if 0 < value < 0.1 else f"{value:.0%}"
    if measure in ("psi", "shift"):
        return f"{value:.3f}" if value < 0.1 else f"{value:.2f}"
    return f"{value:.2f}"
