"""Style, colours and plots shared by the report's SVG and the demo's PNG pictures."""

from collections.abc import Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator
from sklearn.decomposition import PCA
from sklearn.manifold import TSNE
from threadpoolctl import threadpool_limits

from ubp_platform.blocks.fit_report import FitReport

#: Style of all pictures.
STYLE: Any = {
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlelocation": "left",
    "font.size": 10,
    "savefig.dpi": 130,
}
#: Colours that are distinct for any colour vision (Okabe and Ito).
BLUE, ORANGE, GREEN = "#0072B2", "#D55E00", "#009E73"


def draw_losses(ax: Axes, report: FitReport) -> None:
    """Draw the losses of one fit."""
    for curve, losses in report.curves.items():
        color = ORANGE if curve == "validation" else BLUE
        ax.plot(np.arange(1, len(losses) + 1), losses, "o-", ms=3, color=color, label=curve)
    if "validation" in report.curves:
        best = int(np.argmin(report.curves["validation"]))
        ax.axvline(best + 1, color="0.7", lw=1, zorder=0, label="kept")
        ax.set_xlabel("epoch")
    else:
        ax.set_xlabel("iteration")
    ax.set_ylabel("loss")
    ax.xaxis.set_major_locator(mpl.ticker.MaxNLocator("auto", integer=True))
    ax.legend(frameon=False)


def plane(vectors: np.ndarray, seed: int = 0) -> np.ndarray:
    """Lay out vectors in the plane, similar ones close together (t-SNE).

    Parameters
    ----------
    vectors : ndarray of float32, shape (n_clients, width)
    seed : int

    Returns
    -------
    ndarray of float32, shape (n_clients, 2)
    """
    reduced = PCA(min(50, *vectors.shape), random_state=seed).fit_transform(vectors)
    tsne = TSNE(perplexity=min(30.0, (len(vectors) - 1) / 3), init="pca", random_state=seed)
    # Several threads sum in varying order, which changes the map.
    with threadpool_limits(1):
        points: np.ndarray = tsne.fit_transform(reduced)
    return points


def draw_map(ax: Axes, points: np.ndarray, quantity: np.ndarray, size: float) -> None:
    """Draw points coloured by the logarithm of a quantity, with a colour bar.

    The points are rasterized even in a vector picture.
    """
    # The scale ends at percentiles, so that a single outlier does not use up the colours.
    low, high = np.percentile(quantity, [2, 98])
    low, high = max(low, 0.5), max(high, 1.0)
    shown = np.maximum(quantity, 0.5)
    dots = ax.scatter(
        points[:, 0],
        points[:, 1],
        c=shown,
        s=size,
        lw=0,
        cmap="viridis",
        norm=mpl.colors.LogNorm(low, high),
        rasterized=True,
    )
    bar = ax.figure.colorbar(dots, ax=ax, shrink=0.7)
    # Over less than a decade, two digits might leave a single label or none.
    mark_powers(bar.ax.yaxis, (1, 3) if high >= 30 * low else range(1, 10))
    ax.set_xticks([])
    ax.set_yticks([])
    ax.spines[:].set_visible(False)


def mark_powers(axis: Axis, digits: Sequence[float]) -> None:
    """Label a logarithmic axis with plain numbers that begin with some digits."""
    axis.set_major_locator(LogLocator(subs=digits))
    axis.set_major_formatter(FuncFormatter(plain_number))
    axis.set_minor_locator(NullLocator())


def plain_number(number: float, _: int) -> str:
    """Format a tick label without an exponent."""
    return f"{number:,.0f}" if number >= 1 else f"{number:g}"
