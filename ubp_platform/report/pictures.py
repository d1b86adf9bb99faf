"""Pictures (PNG): what was learned, how well, and what the profiles look like."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from sklearn.decomposition import PCA
from sklearn.manifold import TSNE
from threadpoolctl import threadpool_limits

from ubp_platform.blocks.fit_report import FitReport

if TYPE_CHECKING:
    # With it comes Feast, which takes seconds.
    from ubp_platform.evaluation.churn import Score

#: What all pictures have in common.
STYLE: Any = {
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlelocation": "left",
    "font.size": 10,
    "savefig.dpi": 130,
}
#: Colours that people with any colour vision tell apart (Okabe and Ito).
BLUE, ORANGE, GREEN = "#0072B2", "#D55E00", "#009E73"
_COLOURS = (BLUE, ORANGE, GREEN, "#CC79A7", "#56B4E9")


def training_curves(reports: Mapping[str, FitReport], path: Path) -> Path:
    """Draw the losses of each block that learns by epochs or iterations.

    Parameters
    ----------
    reports : mapping of str to FitReport
        By block; those without curves are left out.
    path : Path
    """
    drawn = {name: report for name, report in reports.items() if report.curves}
    with mpl.rc_context(STYLE):
        across = min(4, max(1, len(drawn)))
        down = max(1, -(-len(drawn) // across))
        figure = Figure(figsize=(4.2 * across, 3.4 * down), layout="constrained")
        axes = figure.subplots(down, across, squeeze=False).ravel()
        for ax in axes[len(drawn) :]:
            ax.set_visible(False)
        for ax, (name, report) in zip(axes, drawn.items(), strict=False):
            draw_losses(ax, report)
            ax.set_title(name)
        figure.savefig(path)
    return path


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


def roc_curves(scores: "Sequence[Score]", title: str, path: Path) -> Path:
    """Draw ROC curves in one plot."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(5, 5), layout="constrained")
        ax = figure.subplots()
        ax.plot([0, 1], [0, 1], color="0.8", lw=1)
        for number, score in enumerate(scores):
            label = f"{score.name}, {score.model}  {score.auroc:.3f}"
            color = _COLOURS[number % len(_COLOURS)]
            ax.plot(score.false_positives, score.true_positives, color=color, label=label)
        ax.set_xlabel("false positive rate")
        ax.set_ylabel("true positive rate")
        ax.set_aspect("equal")
        ax.set_title(title)
        ax.legend(title="AUROC", frameon=False, loc="lower right")
        figure.savefig(path)
    return path


def profile_map(
    profiles: np.ndarray, colours: Mapping[str, np.ndarray], path: Path, seed: int = 0
) -> Path:
    """Draw profiles as points in the plane, near where they are alike (t-SNE).

    Parameters
    ----------
    profiles : ndarray of float32, shape (n_clients, width)
    colours : mapping of str to ndarray, shape (n_clients,)
        A quantity a person understands for each panel; coloured by its logarithm.
    path : Path
    seed : int
    """
    points = plane(profiles, seed)
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(6 * len(colours), 5.4), layout="constrained")
        for ax, (title, quantity) in zip(
            figure.subplots(1, len(colours), squeeze=False)[0], colours.items(), strict=True
        ):
            draw_map(ax, points, quantity, size=7)
            ax.set_title(title)
        figure.savefig(path)
    return path


def plane(vectors: np.ndarray, seed: int = 0) -> np.ndarray:
    """Lay vectors out in the plane, near where they are alike (t-SNE).

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
    # Several threads add up in an order of their own: the same clients, another map.
    with threadpool_limits(1):
        points: np.ndarray = tsne.fit_transform(reduced)
    return points


def draw_map(ax: Axes, points: np.ndarray, quantity: np.ndarray, size: float) -> None:
    """Draw points, coloured by the logarithm of a quantity, with its scale at the side.

    The points are pixels also where the rest of the picture is not.
    """
    # Ends of the scale at percentiles: one outlier must not take all the colour.
    low, high = np.percentile(quantity, [2, 98])
    norm = mpl.colors.LogNorm(max(low, 0.5), max(high, 1.0))
    shown = np.maximum(quantity, 0.5)
    dots = ax.scatter(
        points[:, 0],
        points[:, 1],
        c=shown,
        s=size,
        lw=0,
        cmap="viridis",
        norm=norm,
        rasterized=True,
    )
    bar = ax.figure.colorbar(dots, ax=ax, shrink=0.7)
    bar.ax.yaxis.set_major_locator(mpl.ticker.LogLocator(subs=(1, 3)))
    bar.ax.yaxis.set_major_formatter(mpl.ticker.FormatStrFormatter("%g"))
    ax.set_xticks([])
    ax.set_yticks([])
    ax.spines[:].set_visible(False)
