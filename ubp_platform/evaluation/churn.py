"""Does the profile help? Churn, predicted from it, and from what one would use instead."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
import pandas as pd
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegressionCV
from sklearn.metrics import roc_auc_score, roc_curve
from sklearn.model_selection import GroupKFold
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import QuantileTransformer, StandardScaler

from ubp_platform.blocks.handcrafted import Handcrafted
from ubp_platform.errors import UBPError
from ubp_platform.evaluation.places import find
from ubp_platform.progress import ProgressFactory, silent
from ubp_platform.store.retrieval import ProfileStore, TrainingSet
from ubp_platform.warehouse import Warehouse, targets

#: Inverse strengths of regularization that are tried, by cross-validation.
STRENGTHS = (1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0)
FOLDS = 5


@dataclass(frozen=True)
class Score:
    """How well one input predicts churn.

    Parameters
    ----------
    name : str
        Of the input.
    model : str
    width : int
        Numbers in the input.
    auroc : float
    false_positives, true_positives : ndarray
        The ROC curve.
    """

    name: str
    model: str
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
    """Fit models at earlier cutoffs, and score them at a later one.

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
        Scores of a logistic regression on the profile, of the same and of gradient boosting on the
        handcrafted features, and of the same on recency and on frequency alone.
    """
    late = [cutoff for cutoff in fit_cutoffs if (score_cutoff - cutoff).days < days]
    if late:
        raise UBPError(f"labels of the cutoff {late[0]} reach past the one to score on")
    fit = store.training_set(_labels(warehouse, fit_cutoffs, days))
    scored = store.training_set(_labels(warehouse, [score_cutoff], days))
    features = [_handcrafted(warehouse, rows) for rows in (fit, scored)]
    linear, boosting = "logistic regression", "gradient boosting"
    wanted: list[tuple[str, str, Any, list[np.ndarray]]] = [
        ("profile", linear, _linear(fit), [fit.X, scored.X]),
        ("handcrafted", linear, _linear(fit, QuantileTransformer()), features),
        ("handcrafted", boosting, HistGradientBoostingClassifier(random_state=0), features),
    ]
    for name in ("recency", "frequency"):
        column = [_column(rows, name) for rows in (fit, scored)]
        wanted.append((f"{name} alone", linear, _linear(fit, StandardScaler()), column))
    churned = scored.entities["churned"].to_numpy()
    scores = []
    with progress("churn", len(wanted), "models") as advance:
        for name, kind, model, (X, X_scored) in wanted:
            model.fit(X, fit.entities["churned"].to_numpy())
            probability = model.predict_proba(X_scored)[:, 1]
            false_positives, true_positives, _ = roc_curve(churned, probability)
            auroc = float(roc_auc_score(churned, probability))
            width = X.shape[1]
            scores.append(Score(name, kind, width, auroc, false_positives, true_positives))
            advance(1)
    scores.sort(key=lambda score: -score.auroc)
    return ChurnResult(scores, len(fit.X), scored)


def _linear(rows: TrainingSet, *scaler: Any) -> Pipeline:
    """Choose how strongly to regularize: by the rows fitted on, none of a client in two folds.

    The profile is scaled already: how large its columns are is how much they should weigh.
    """
    folds = GroupKFold(FOLDS).split(rows.X, groups=rows.entities["client_id"])
    classifier = LogisticRegressionCV(
        Cs=STRENGTHS,
        cv=list(folds),
        scoring="roc_auc",
        l1_ratios=(0.0,),
        use_legacy_attributes=False,
        max_iter=2000,
    )
    return make_pipeline(*scaler, classifier)


def _handcrafted(warehouse: Warehouse, rows: TrainingSet) -> np.ndarray:
    """Compute the handcrafted features of each row's client at its time: float32, (n, 42)."""
    times = rows.entities["event_timestamp"]
    features: list[np.ndarray] = []
    places: list[np.ndarray] = []
    for time in times.unique():
        here = np.flatnonzero(times == time)
        history = warehouse.history(time.to_pydatetime())
        snapshot = Handcrafted().fit(history).encode(history)
        # Who is asked about has bought before, and so has features.
        found, _ = find(snapshot.client_ids, rows.entities["client_id"].to_numpy()[here])
        features.append(snapshot.vectors[found])
        places.append(here)
    return np.concatenate(features)[np.argsort(np.concatenate(places))]


def _labels(warehouse: Warehouse, cutoffs: Sequence[datetime], days: int) -> pd.DataFrame:
    frames = [targets.churn(warehouse, cutoff, days).to_pandas() for cutoff in cutoffs]
    return pd.concat(frames, ignore_index=True)


def _column(rows: TrainingSet, name: str) -> np.ndarray:
    return rows.entities[[name]].to_numpy(np.float64)
