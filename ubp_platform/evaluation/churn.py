"""Does the profile help? Churn, predicted by a linear model from it, and from one number."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np
import pandas as pd
from sklearn.linear_model import LogisticRegressionCV
from sklearn.metrics import roc_auc_score, roc_curve
from sklearn.model_selection import GroupKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from ubp_platform.errors import UBPError
from ubp_platform.progress import ProgressFactory, silent
from ubp_platform.store.retrieval import ProfileStore, TrainingSet
from ubp_platform.warehouse import Warehouse, targets

#: Inverse strengths of regularization that are tried, by cross-validation.
STRENGTHS = (1e-4, 1e-3, 1e-2, 1e-1)
FOLDS = 5


@dataclass(frozen=True)
class Score:
    """How well one input predicts churn.

    Parameters
    ----------
    name : str
    width : int
        Numbers in the input.
    auroc : float
    false_positives, true_positives : ndarray
        The ROC curve.
    """

    name: str
    width: int
    auroc: float
    false_positives: np.ndarray
    true_positives: np.ndarray


@dataclass(frozen=True)
class ChurnResult:
    """What :func:`evaluate_churn` found.

    Parameters
    ----------
    scores : list of Score
        Best first.
    rows : int
        Rows fitted on.
    scored : TrainingSet
        The rows scored on, with their profiles.
    """

    scores: list[Score]
    rows: int
    scored: TrainingSet


def evaluate_churn(
    warehouse: Warehouse,
    store: ProfileStore,
    fit_cutoffs: Sequence[datetime],
    score_cutoff: datetime,
    days: int = 14,
    progress: ProgressFactory = silent,
) -> ChurnResult:
    """Fit a logistic regression at earlier cutoffs, and score it at a later one.

    Parameters
    ----------
    warehouse : Warehouse
        For the labels.
    store : ProfileStore
        For the profiles, through Feast's point-in-time join.
    fit_cutoffs : sequence of datetime
        Each at least ``days`` before ``score_cutoff``, so that its labels were known by then.
    score_cutoff : datetime
    days : int
        Length of the window in which a client who buys nothing has churned.
    progress : ProgressFactory

    Returns
    -------
    ChurnResult
        Scores of the profile, and of the same classifier on recency and on frequency alone.
    """
    late = [cutoff for cutoff in fit_cutoffs if (score_cutoff - cutoff).days < days]
    if late:
        raise UBPError(f"labels of the cutoff {late[0]} reach past the one to score on")
    fit = store.training_set(_labels(warehouse, fit_cutoffs, days))
    scored = store.training_set(_labels(warehouse, [score_cutoff], days))
    inputs = {
        "profile": (fit.X, scored.X),
        "recency alone": (_column(fit, "recency"), _column(scored, "recency")),
        "frequency alone": (_column(fit, "frequency"), _column(scored, "frequency")),
    }
    churned = scored.entities["churned"].to_numpy()
    scores = []
    with progress("churn", len(inputs), "models") as advance:
        for name, (X, X_scored) in inputs.items():
            model = make_pipeline(StandardScaler(), _classifier(fit))
            model.fit(X, fit.entities["churned"].to_numpy())
            probability = model.predict_proba(X_scored)[:, 1]
            false_positives, true_positives, _ = roc_curve(churned, probability)
            auroc = float(roc_auc_score(churned, probability))
            scores.append(Score(name, X.shape[1], auroc, false_positives, true_positives))
            advance(1)
    scores.sort(key=lambda score: -score.auroc)
    return ChurnResult(scores, len(fit.X), scored)


def _classifier(rows: TrainingSet) -> LogisticRegressionCV:
    """Choose how strongly to regularize: by the rows fitted on, none of a client in two folds."""
    folds = GroupKFold(FOLDS).split(rows.X, groups=rows.entities["client_id"])
    return LogisticRegressionCV(
        Cs=STRENGTHS,
        cv=list(folds),
        scoring="roc_auc",
        l1_ratios=(0.0,),
        use_legacy_attributes=False,
        max_iter=2000,
    )


def _labels(warehouse: Warehouse, cutoffs: Sequence[datetime], days: int) -> pd.DataFrame:
    frames = [targets.churn(warehouse, cutoff, days).to_pandas() for cutoff in cutoffs]
    return pd.concat(frames, ignore_index=True)


def _column(rows: TrainingSet, name: str) -> np.ndarray:
    return rows.entities[[name]].to_numpy(np.float64)
