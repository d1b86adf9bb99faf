"""The demo's pictures as PNG files: losses, ROC curves, and a map of profiles."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

from ubp_platform.blocks.fit_report import FitReport
from ubp_platform.demo.churn import ChurnScore
from ubp_platform.files import atomic_file
from ubp_platform.report.drawing import BLUE, GREEN, ORANGE, STYLE, draw_losses, draw_map, plane

_COLOURS = (BLUE, ORANGE, GREEN, "#CC79A7", "#56B4E9")


def training_curves(reports: Mapping[str, FitReport], path: Path) -> Path:
    """Draw the losses of each block that is trained by epochs or iterations.

    Parameters
    ----------
    reports : mapping of str to FitReport
        By block; reports without curves are left out.
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
        with atomic_file(path) as temporary:
            figure.savefig(temporary, format=path.suffix.removeprefix("."))
    return path


def roc_curves(scores: Sequence[ChurnScore], title: str, path: Path) -> Path:
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
        with atomic_file(path) as temporary:
            figure.savefig(temporary, format=path.suffix.removeprefix("."))
    return path


def profile_map(
    profiles: np.ndarray, colours: Mapping[str, np.ndarray], path: Path, seed: int = 0
) -> Path:
    """Draw profiles as points in the plane, similar ones close together (t-SNE).

    Parameters
    ----------
    profiles : ndarray of float32, shape (n_clients, width)
    colours : mapping of str to ndarray, shape (n_clients,)
        An interpretable quantity per panel; the colour shows its logarithm.
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
        with atomic_file(path) as temporary:
            figure.savefig(temporary, format=path.suffix.removeprefix("."))
    return path
