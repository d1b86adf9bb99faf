"""Pictures (PNG): what was learned, how well, and what the profiles look like."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from sklearn.decomposition import PCA
from sklearn.manifold import TSNE

from ubp_platform.blocks.base import FitReport
from ubp_platform.evaluation.churn import Score

_STYLE: Any = {
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlelocation": "left",
    "font.size": 10,
    "savefig.dpi": 130,
}
# Colours that people with any colour vision tell apart (Okabe and Ito).
_BLUE, _ORANGE, _GREEN = "#0072B2", "#D55E00", "#009E73"


def training_curves(reports: Mapping[str, FitReport], path: Path) -> Path:
    """Draw the losses of each block that learns by epochs or iterations.

    Parameters
    ----------
    reports : mapping of str to FitReport
        By block; those without curves are left out.
    path : Path
    """
    drawn = {name: report for name, report in reports.items() if report.curves}
    with mpl.rc_context(_STYLE):
        across = min(4, max(1, len(drawn)))
        down = max(1, -(-len(drawn) // across))
        figure = Figure(figsize=(4.2 * across, 3.4 * down), layout="constrained")
        axes = figure.subplots(down, across, squeeze=False).ravel()
        for ax in axes[len(drawn) :]:
            ax.set_visible(False)
        for ax, (name, report) in zip(axes, drawn.items(), strict=False):
            for (curve, losses), color in zip(
                report.curves.items(), (_BLUE, _ORANGE), strict=False
            ):
                ax.plot(np.arange(1, len(losses) + 1), losses, "o-", ms=3, color=color, label=curve)
            if "validation" in report.curves:
                best = int(np.argmin(report.curves["validation"]))
                ax.axvline(best + 1, color="0.7", lw=1, zorder=0, label="kept")
                ax.set_xlabel("epoch")
            else:
                ax.set_xlabel("iteration")
            ax.set_ylabel("loss")
            ax.xaxis.get_major_locator().set_params(integer=True)
            ax.set_title(name)
            ax.legend(frameon=False)
        figure.savefig(path)
    return path


def roc_curves(scores: Sequence[Score], title: str, path: Path) -> Path:
    """Draw ROC curves in one plot."""
    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(5, 5), layout="constrained")
        ax = figure.subplots()
        ax.plot([0, 1], [0, 1], color="0.8", lw=1)
        for score, color in zip(scores, (_BLUE, _ORANGE, _GREEN), strict=False):
            label = f"{score.name}  {score.auroc:.3f}"
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
    reduced = PCA(min(50, *profiles.shape), random_state=seed).fit_transform(profiles)
    perplexity = min(30.0, (len(profiles) - 1) / 3)
    points = TSNE(perplexity=perplexity, init="pca", random_state=seed).fit_transform(reduced)
    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(6 * len(colours), 5.4), layout="constrained")
        for ax, (title, quantity) in zip(
            figure.subplots(1, len(colours), squeeze=False)[0], colours.items(), strict=True
        ):
            # Ends of the scale at percentiles: one outlier must not take all the colour.
            low, high = np.percentile(quantity, [2, 98])
            norm = mpl.colors.LogNorm(max(low, 0.5), max(high, 1.0))
            dots = ax.scatter(
                *points.T, c=np.maximum(quantity, 0.5), s=7, lw=0, cmap="viridis", norm=norm
            )
            bar = figure.colorbar(dots, ax=ax, shrink=0.7)
            bar.ax.yaxis.set_major_formatter(mpl.ticker.FormatStrFormatter("%g"))
            ax.set_title(title)
            ax.set_xticks([])
            ax.set_yticks([])
            ax.spines[:].set_visible(False)
        figure.savefig(path)
    return path
