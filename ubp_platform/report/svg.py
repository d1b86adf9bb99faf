"""Pictures as inline SVG, which uses the font of the page."""

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

from ubp_platform.report.drawing import STYLE

#: Colours of everything that is not data.
INK, FAINT = "#1f2328", "#8a9199"
_STYLE: Any = {
    **STYLE,
    "svg.fonttype": "none",
    # A directory name such as a$b$ is not a formula.
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
    # Resolution of the rasterized points of a map.
    "savefig.dpi": 200,
}
# Maximum pixels per point, so that a wide screen does not enlarge the text.
_MAX_SCALE = 1.42
# Parts that a page does not need; ids without a reference would occur twice in a page.
_NEEDLESS = re.compile(
    r'<defs>\s*<style.*?</style>\s*</defs>| id="\w*_\d+"|font-family: [^;"]*;? ?', re.DOTALL
)
# Candidate distances (in points) and directions of a label from its point, the best first.
_DISTANCES = (7, 16, 28, 42)
_DIRECTIONS = ((1, 0), (-1, 0), (0, 1), (0, -1), (0.7, 0.7), (0.7, -0.7), (-0.7, 0.7), (-0.7, -0.7))
_LEADER = {"arrowstyle": "-", "color": FAINT, "lw": 0.7, "shrinkA": 1, "shrinkB": 4}


@dataclass(frozen=True)
class Picture:
    """A picture with its heading."""

    title: str
    svg: Markup


def picture(
    title: str, alt: str, size: tuple[float, float], draw: Callable[[Axes], None]
) -> Picture:
    """Draw a picture; equal drawings give equal text.

    Parameters
    ----------
    title : str
    alt : str
        Text alternative, unique within a page.
    size : tuple of float
        Width and height in inches.
    draw : callable
        Draws on empty axes.
    """
    # Ids inside a picture are derived from its salt and must be unique within a page.
    with mpl.rc_context({**_STYLE, "svg.hashsalt": alt}), warnings.catch_warnings():
        # The text is rendered in the page's font, so missing glyphs of this one do not matter.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        figure = Figure(figsize=size, layout="constrained")
        draw(figure.subplots())
        text = StringIO()
        nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
        figure.savefig(text, format="svg", metadata=nothing)
    return Picture(title, _inline(text.getvalue(), alt))


def _inline(svg: str, alt: str) -> Markup:
    """Convert an SVG file to an element of a page."""
    head, body = svg[svg.index("<svg ") :].split(">", maxsplit=1)
    width, height = re.findall(r'(?:width|height)="([\d.]+)pt"', head)
    style = f"max-width:{float(width) * _MAX_SCALE:.0f}px"
    opened = Markup('<svg role="img" aria-label="{}" viewBox="0 0 {} {}" style="{}">')
    return opened.format(alt, width, height, style) + Markup(_NEEDLESS.sub("", body))  # noqa: S704


def short(name: str) -> str:
    """Shorten a name that is too long for a picture.

    Examples
    --------
    >>> short("embeddings_of_the_second_placed_team")
    'embeddings_of_the_second_pl…'
    """
    return name if len(name) <= 28 else f"{name[:27]}…"


def label_points(ax: Axes, names: Sequence[str], xs: Sequence[float], ys: Sequence[float]) -> None:
    """Write names beside points, each where it overlaps least."""
    figure: Any = ax.figure
    # Fix the layout: label positions are computed in pixels.
    figure.draw_without_rendering()
    figure.set_layout_engine("none")
    room, dot = ax.get_window_extent(), figure.dpi / 72
    points = ax.transData.transform(np.column_stack([xs, ys]))
    taken = [Bbox.from_bounds(x - 5 * dot, y - 5 * dot, 10 * dot, 10 * dot) for x, y in points]
    measure = FigureCanvasAgg(figure).get_renderer().get_text_width_height_descent
    for name, x, y, point in zip(names, xs, ys, points, strict=True):
        size = np.array(measure(short(name), FontProperties(), False)[:2])
        boxes = {
            (distance, direction): _box(point, distance * dot, direction, size)
            for distance, direction in product(_DISTANCES, _DIRECTIONS)
        }
        overlaps = {key: _overlap(box, taken, room) for key, box in boxes.items()}
        distance, direction = min(overlaps, key=overlaps.__getitem__)
        taken.append(boxes[distance, direction])
        leader: Any = {"arrowprops": _LEADER} if distance > _DISTANCES[0] else {}
        ax.annotate(
            text=short(name),
            xy=(x, y),
            xytext=(distance * direction[0], distance * direction[1]),
            textcoords="offset points",
            ha=("right", "center", "left")[int(np.sign(direction[0])) + 1],
            va=("top", "center", "bottom")[int(np.sign(direction[1])) + 1],
            **leader,
        )


def _box(
    point: np.ndarray, distance: float, direction: tuple[float, float], size: np.ndarray
) -> Bbox:
    """Return the box of a label at a distance from its point."""
    towards = np.array(direction)
    corner = point + distance * towards + size * (np.sign(towards) - 1) / 2
    return Bbox([corner - 1, corner + size + 1])


def _overlap(box: Bbox, taken: Sequence[Bbox], room: Bbox) -> float:
    """Return the area of a label that overlaps others or lies outside the axes."""
    both = (Bbox.intersection(box, other) for other in taken)
    inside = Bbox.intersection(box, room)
    area = box.width * box.height
    outside = area - (inside.width * inside.height if inside else 0)
    return outside + sum(shared.width * shared.height for shared in both if shared)


def height(rows: Sequence[object]) -> float:
    """Return the height in inches of a picture with some rows."""
    return 0.6 + 0.25 * len(rows)


def signed(number: float) -> str:
    """Format a difference.

    Examples
    --------
    >>> signed(0.0123), signed(-0.5)
    ('+0.012', '−0.500')
    """
    return f"{number:+.3f}".replace("-", "−")
