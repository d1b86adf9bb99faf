"""Churn predicted from the profile, and from simpler inputs for comparison."""

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
from ubp_platform.evaluation.lookup import positions_in
from ubp_platform.progress import ProgressFactory, logged
from ubp_platform.store.retrieval import ProfileStore, TrainingSet
from ubp_platform.warehouse import Warehouse, targets

#: Inverse regularization strengths that cross-validation selects from.
STRENGTHS = (1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0)
FOLDS = 5


@dataclass(frozen=True)
class ChurnScore:
    """How well one input predicts churn.

    Parameters
    ----------
    name : str
        Name of the input.
    model : str
    width : int
        Number of columns of the input.
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
    """The result of :func:`evaluate_churn`.

    Parameters
    ----------
    scores : list of ChurnScore
        Best first.
    rows : int
        Number of rows the models were fitted on.
    scored : TrainingSet
        The rows they were scored on, with their profiles.
    """

    scores: list[ChurnScore]
    rows: int
    scored: TrainingSet


def evaluate_churn(
    warehouse: Warehouse,
    store: ProfileStore,
    fit_cutoffs: Sequence[datetime],
    score_cutoff: datetime,
    days: int,
    progress: ProgressFactory = logged,
) -> ChurnResult:
    """Fit models at earlier cutoffs and score them at a later one.

    Parameters
    ----------
    warehouse : Warehouse
        Source of the labels.
    store : ProfileStore
        Source of the profiles, through Feast's point-in-time join.
    fit_cutoffs : sequence of datetime
        Each at least ``days`` before ``score_cutoff``, so that their labels were known by then.
    score_cutoff : datetime
    days : int
        Length of the window; a client who buys nothing in it has churned.
    progress : ProgressFactory

    Returns
    -------
    ChurnResult
        Scores of logistic regressions on the profile, the handcrafted features, recency, and
        frequency, and of gradient boosting on the handcrafted features.

    Raises
    ------
    UBPError
        If the labels of a cutoff were not known at ``score_cutoff``.
    """
    late = [cutoff for cutoff in fit_cutoffs if (score_cutoff - cutoff).days < days]
    if late:
        raise UBPError(f"labels of the cutoff {late[0]} extend beyond {score_cutoff}")
    fit = store.training_set(_labels(warehouse, fit_cutoffs, days))
    scored = store.training_set(_labels(warehouse, [score_cutoff], days))
    features = [_handcrafted(warehouse, rows) for rows in (fit, scored)]
    linear, boosting = "logistic regression", "gradient boosting"
    models: list[tuple[str, str, Any, list[np.ndarray]]] = [
        ("profile", linear, _linear(fit), [fit.X, scored.X]),
        ("handcrafted", linear, _linear(fit, QuantileTransformer()), features),
        ("handcrafted", boosting, HistGradientBoostingClassifier(random_state=0), features),
    ]
    for name in ("recency", "frequency"):
        column = [rows.entities[[name]].to_numpy(np.float64) for rows in (fit, scored)]
        models.append((f"{name} alone", linear, _linear(fit, StandardScaler()), column))
    churned = scored.entities["churned"].to_numpy()
    scores = []
    with progress("churn", len(models), "models") as advance:
        for name, kind, model, (X, X_scored) in models:
            model.fit(X, fit.entities["churned"].to_numpy())
            probability = model.predict_proba(X_scored)[:, 1]
            false_positives, true_positives, _ = roc_curve(churned, probability)
            scores.append(
                ChurnScore(
                    name=name,
                    model=kind,
                    width=X.shape[1],
                    auroc=float(roc_auc_score(churned, probability)),
                    false_positives=false_positives,
                    true_positives=true_positives,
                )
            )
            advance(1)
    scores.sort(key=lambda score: -score.auroc)
    return ChurnResult(scores, len(fit.X), scored)


def _linear(rows: TrainingSet, *scaler: Any) -> Pipeline:
    """Make a logistic regression that selects its regularization by folds of clients.

    The profile needs no scaler: the scale of a column is its intended weight.
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
    """Compute the handcrafted features of each row's client at the row's time: float32, (n, 42)."""
    times = rows.entities["event_timestamp"]
    clients = rows.entities["client_id"].to_numpy()
    here = [np.flatnonzero(times == time) for time in times.unique()]
    features = []
    for time, some in zip(times.unique(), here, strict=True):
        history = warehouse.history(time.to_pydatetime())
        snapshot = Handcrafted().fit(history).encode(history)
        # Every client has bought before, and so has features.
        positions, _ = positions_in(snapshot.client_ids, clients[some])
        features.append(snapshot.vectors[positions])
    return np.concatenate(features)[np.argsort(np.concatenate(here))]


def _labels(warehouse: Warehouse, cutoffs: Sequence[datetime], days: int) -> pd.DataFrame:
    frames = [targets.churn(warehouse, cutoff, days).to_pandas() for cutoff in cutoffs]
    return pd.concat(frames, ignore_index=True)
