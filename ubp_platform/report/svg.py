"""Pictures as SVG that stands in a page and takes its font from there."""

import re
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from io import StringIO
from itertools import product
from typing import Any

import matplotlib as mpl
import numpy as np
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.transforms import Bbox

from ubp_platform.report import pictures

#: Colours of what is no data.
INK, FAINT = "#1f2328", "#8a9199"
_STYLE: Any = {
    **pictures.STYLE,
    "svg.fonttype": "none",
    # A directory may be called a$b$: that is no formula.
    "text.parse_math": False,
    "text.color": INK,
    "axes.labelcolor": "#57606a",
    "axes.edgecolor": "#c4c9cf",
    "axes.axisbelow": True,
    "xtick.color": "#c4c9cf",
    "ytick.color": "#c4c9cf",
    "xtick.labelcolor": "#57606a",
    "ytick.labelcolor": "#57606a",
    "grid.color": "#e8eaed",
    # Of the points of a map, which are pixels.
    "savefig.dpi": 200,
}
# Pixels a point, at most: a wide screen does not make a picture's text huge.
_LARGEST = 1.42
# What matplotlib says and a page does not need; ids that nothing refers to would be there twice.
_NEEDLESS = re.compile(
    r'<defs>\s*<style.*?</style>\s*</defs>| id="\w*_\d+"|font-family: [^;"]*;? ?', re.DOTALL
)
# Where a label may stand: so many points away from its own, and in which way, the best first.
_AWAY = (7, 16, 28, 42)
_WAYS = ((1, 0), (-1, 0), (0, 1), (0, -1), (0.7, 0.7), (0.7, -0.7), (-0.7, 0.7), (-0.7, -0.7))
_LEADER = {"arrowstyle": "-", "color": FAINT, "lw": 0.7, "shrinkA": 1, "shrinkB": 4}


@dataclass(frozen=True)
class Picture:
    """A picture with its heading."""

    title: str
    svg: Markup


def picture(
    title: str, alt: str, size: tuple[float, float], draw: Callable[[Axes], None]
) -> Picture:
    """Draw a picture; the same drawing gives the same text.

    Parameters
    ----------
    title : str
    alt : str
        What it shows, for who cannot see it; no two of a page are alike.
    size : tuple of float
        Inches.
    draw : callable
        Draws on empty axes.
    """
    # The names inside a picture follow from its salt: they must differ within a page.
    with mpl.rc_context({**_STYLE, "svg.hashsalt": alt}), warnings.catch_warnings():
        # Text is drawn in the page's font, whatever this one lacks.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        figure = Figure(figsize=size, layout="constrained")
        draw(figure.subplots())
        text = StringIO()
        nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
        figure.savefig(text, format="svg", metadata=nothing)
    return Picture(title, _inline(text.getvalue(), alt))


def _inline(svg: str, alt: str) -> Markup:
    """Make a part of a page out of an SVG file."""
    head, body = svg[svg.index("<svg ") :].split(">", maxsplit=1)
    width, height = re.findall(r'(?:width|height)="([\d.]+)pt"', head)
    style = f"max-width:{float(width) * _LARGEST:.0f}px"
    opened = Markup('<svg role="img" aria-label="{}" viewBox="0 0 {} {}" style="{}">')
    return opened.format(alt, width, height, style) + Markup(_NEEDLESS.sub("", body))  # noqa: S704


def short(name: str) -> str:
    """Cut a name that is too long to stand in a picture.

    Examples
    --------
    >>> short("embeddings_of_the_second_placed_team")
    'embeddings_of_the_second_pl…'
    """
    return name if len(name) <= 28 else f"{name[:27]}…"


def label_points(ax: Axes, names: Sequence[str], xs: Sequence[float], ys: Sequence[float]) -> None:
    """Write names beside points, each where it covers least of what is there already."""
    figure: Any = ax.figure
    # From here on the axes stay where they are.
    figure.draw_without_rendering()
    figure.set_layout_engine("none")
    room, dot = ax.get_window_extent(), figure.dpi / 72
    points = ax.transData.transform(np.column_stack([xs, ys]))
    taken = [Bbox.from_bounds(x - 5 * dot, y - 5 * dot, 10 * dot, 10 * dot) for x, y in points]
    measure = FigureCanvasAgg(figure).get_renderer().get_text_width_height_descent
    for name, x, y, point in zip(names, xs, ys, points, strict=True):
        size = np.array(measure(short(name), FontProperties(), False)[:2])
        places = {
            (away, way): _box(point, away * dot, way, size) for away, way in product(_AWAY, _WAYS)
        }
        covered = {place: _covered(box, taken, room) for place, box in places.items()}
        away, way = min(covered, key=covered.__getitem__)
        taken.append(places[away, way])
        far: Any = {"arrowprops": _LEADER} if away > _AWAY[0] else {}
        ax.annotate(
            *(short(name), (x, y), (away * way[0], away * way[1])),
            textcoords="offset points",
            ha=("right", "center", "left")[int(np.sign(way[0])) + 1],
            va=("top", "center", "bottom")[int(np.sign(way[1])) + 1],
            **far,
        )


def _box(point: np.ndarray, away: float, way: tuple[float, float], size: np.ndarray) -> Bbox:
    """Give the place of a label that stands so far away from its point, in one of the ways."""
    towards = np.array(way)
    corner = point + away * towards + size * (np.sign(towards) - 1) / 2
    return Bbox([corner - 1, corner + size + 1])


def _covered(box: Bbox, taken: Sequence[Bbox], room: Bbox) -> float:
    """Say how much a label covers, and how much of it lies outside."""
    both = (Bbox.intersection(box, other) for other in taken)
    inside = Bbox.intersection(box, room)
    area = box.width * box.height
    outside = area - (inside.width * inside.height if inside else 0)
    return outside + sum(shared.width * shared.height for shared in both if shared)
