"""The head ``boosting``: scikit-learn's histogram gradient boosting, one model per class."""

import os
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import Any

import numpy as np
from sklearn.ensemble import HistGradientBoostingClassifier
from threadpoolctl import threadpool_limits

from ubp_platform.evaluation.heads.base import (
    Advance,
    Labelled,
    Prediction,
    base_rates,
    inner_score,
)
from ubp_platform.evaluation.representations import Representation

#: Wider profiles are not boosted: a hundred classes would take hours. Baselines always are.
WIDEST = 64
#: Maximum number of trees; fitting stops after this many trees without a lower held-out loss.
ITERATIONS, PATIENCE = 100, 5
#: A class with fewer positives among the labelled clients is predicted by its base rate.
FEWEST = 5


class Boosting:
    """Gradient-boosted trees with scikit-learn's defaults; the number of trees is set per class."""

    def __init__(self) -> None:
        self.parameters: list[Any] = ["boosting", ITERATIONS, PATIENCE, FEWEST]

    def fit(
        self,
        representation: Representation,
        labelled: Labelled,
        rows: np.ndarray,
        seed: int,
        advance: Advance,
    ) -> Prediction:
        """Select the number of trees by the loss on the inner split, then refit on all clients."""
        fitted, held = labelled.split(seed)
        x_fitted, x_held, x_all, x_predicted = (
            representation.batch(some).numpy()
            for some in (fitted.rows, held.rows, labelled.rows, rows)
        )
        classes = labelled.labels.shape[1]
        inner, probabilities = (
            np.tile(base_rates(some.labels).astype(np.float32), (len(x), 1))
            for some, x in ((fitted, x_held), (labelled, x_predicted))
        )

        def learn(column: int) -> int | None:
            y, y_fitted, y_held = (some.labels[:, column] for some in (labelled, fitted, held))
            if not (_learnable(y) and len(np.unique(y_fitted)) == 2):
                return None
            # Classes run in parallel: a single fit is too small to share among cores.
            with threadpool_limits(1):
                trees, inner[:, column] = _select_trees(x_fitted, y_fitted, x_held, y_held, seed)
                model = _model(trees, seed).fit(x_all, y)
                probabilities[:, column] = model.predict_proba(x_predicted)[:, 1]
            return trees

        selected = []
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            for trees in pool.map(learn, range(classes)):
                if trees is not None:
                    selected.append(trees)
                advance(1 / classes)
        choice = f"{np.median(selected):g} trees" if selected else "base rates"
        if len(selected) > 1:
            choice += f" (median of {len(selected)} classes)"
        return Prediction(probabilities, inner_score(inner, held.labels), choice)


def _learnable(labels: np.ndarray) -> bool:
    return FEWEST <= int(labels.sum()) < len(labels)


def _select_trees(
    x: np.ndarray, y: np.ndarray, x_held: np.ndarray, y_held: np.ndarray, seed: int
) -> tuple[int, np.ndarray]:
    """Return the number of trees with the lowest held-out loss, and their held-out predictions."""
    model = _model(ITERATIONS, seed, early_stopping=True, n_iter_no_change=PATIENCE, tol=0)
    model.fit(x, y, X_val=x_held, y_val=y_held)
    # The first score is that of zero trees.
    trees = int(np.argmax(model.validation_score_[1:])) + 1
    last = next(islice(model.staged_predict_proba(x_held), trees - 1, None))
    return trees, last[:, 1]


def _model(trees: int, seed: int, **options: Any) -> HistGradientBoostingClassifier:
    options = {"early_stopping": False, **options}
    return HistGradientBoostingClassifier(max_iter=trees, random_state=seed, **options)
