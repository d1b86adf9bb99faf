"""What a changed representation does to downstream models: their AUROC on it."""

from collections.abc import Callable, Mapping

import numpy as np
from pydantic import BaseModel

_FOLDS = 5
# Fewer clients of a class in a fold give no AUROC worth the name.
_FEWEST = 5


class HeadScore(BaseModel):
    """The AUROC of a downstream model that was fitted on profiles of the older version.

    Parameters
    ----------
    task, head : str
    old : float
        On profiles of the older version.
    raw : float, optional
        On those of the newer version as they are; None if they have another width.
    aligned : float
        On those of the newer version, aligned.
    native : float
        Of the same kind of model, fitted on profiles of the newer version.
    """

    task: str
    head: str
    old: float
    raw: float | None
    aligned: float
    native: float

    @property
    def gap(self) -> float:
        """What is lost after alignment."""
        return self.old - self.aligned

    @property
    def recovered(self) -> float | None:
        """The share of the loss that alignment recovers; None if nothing was lost."""
        raw_gap = None if self.raw is None else self.old - self.raw
        return None if raw_gap is None or raw_gap <= 0 else 1 - self.gap / raw_gap


def head_scores(
    old: np.ndarray,
    new: np.ndarray,
    align: Callable[[np.ndarray, np.ndarray], np.ndarray],
    tasks: Mapping[str, np.ndarray],
    seed: int = 0,
) -> list[HeadScore]:
    """Score a logistic regression and a small network, by cross-validation over clients.

    Parameters
    ----------
    old, new : ndarray of float32, shape (n, old_width) and (n, new_width)
        The profiles of the same clients.
    align : callable
        Fits the alignment on some rows, and returns the aligned profiles of others. Neither it nor
        the models see the clients who are scored.
    tasks : mapping of str to ndarray of bool, shape (n,)
        Labels; tasks with too few clients of a class are left out.
    seed : int
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import roc_auc_score
    from sklearn.model_selection import KFold
    from sklearn.neural_network import MLPClassifier

    heads: dict[str, Callable[[], LogisticRegression | MLPClassifier]] = {
        "logistic regression": lambda: LogisticRegression(max_iter=2000),
        "network": lambda: MLPClassifier(
            (32,), early_stopping=True, max_iter=200, random_state=seed
        ),
    }
    usable = {
        name: labels
        for name, labels in tasks.items()
        if min(labels.sum(), (~labels).sum()) >= _FEWEST * _FOLDS
    }
    sums: dict[tuple[str, str], np.ndarray] = {}
    folds = KFold(_FOLDS, shuffle=True, random_state=seed)
    for train, test in folds.split(old) if usable else ():
        seen = [old[test], new[test] if new.shape == old.shape else None, align(train, test)]
        for name, labels in usable.items():
            for head, make in heads.items():
                model = make().fit(old[train], labels[train])
                native = make().fit(new[train], labels[train])
                predicted = [None if rows is None else model.predict_proba(rows) for rows in seen]
                predicted.append(native.predict_proba(new[test]))
                scores = [
                    np.nan if one is None else roc_auc_score(labels[test], one[:, 1])
                    for one in predicted
                ]
                sums[name, head] = sums.get((name, head), 0) + np.array(scores) / _FOLDS
    return [
        HeadScore(
            task=name,
            head=head,
            old=old_score,
            raw=None if np.isnan(raw) else raw,
            aligned=aligned_score,
            native=native_score,
        )
        for (name, head), (old_score, raw, aligned_score, native_score) in (
            (key, found.tolist()) for key, found in sums.items()
        )
    ]
