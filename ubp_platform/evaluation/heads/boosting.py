"""The head ``boosting``: scikit-learn's gradient boosting on histograms, a model a class."""

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
#: Trees at most; and so many that do not lower the loss of the clients held out are the end.
ITERATIONS, PATIENCE = 100, 5
#: A class with fewer yes among the labelled clients answers with its base rate.
FEWEST = 5


class Boosting:
    """Gradient-boosted trees at scikit-learn's defaults; their number is chosen class by class."""

    def __init__(self) -> None:
        self.parameters: list[Any] = ["boosting", ITERATIONS, PATIENCE, FEWEST]

    def fit(
        self,
        representation: Representation,
        labelled: Labelled,
        asked: np.ndarray,
        seed: int,
        advance: Advance,
    ) -> Prediction:
        """Choose the trees by the loss on the inner split; then fit as many on all."""
        fitted, held = labelled.split(seed)
        x_fitted, x_held, x_all, x_asked = (
            representation.batch(rows).numpy()
            for rows in (fitted.rows, held.rows, labelled.rows, asked)
        )
        classes = labelled.labels.shape[1]
        inner, said = (
            np.tile(base_rates(some.labels).astype(np.float32), (len(x), 1))
            for some, x in ((fitted, x_held), (labelled, x_asked))
        )

        def learn(column: int) -> int | None:
            y, y_fitted, y_held = (some.labels[:, column] for some in (labelled, fitted, held))
            if not (_learnable(y) and len(np.unique(y_fitted)) == 2):
                return None
            # Classes are fitted side by side: one is too small to share among cores.
            with threadpool_limits(1):
                trees, inner[:, column] = _choose(x_fitted, y_fitted, x_held, y_held, seed)
                model = _model(trees, seed).fit(x_all, y)
                said[:, column] = model.predict_proba(x_asked)[:, 1]
            return trees

        chosen = []
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            for trees in pool.map(learn, range(classes)):
                if trees is not None:
                    chosen.append(trees)
                advance(1 / classes)
        median = f"{np.median(chosen):g} trees" if chosen else "base rates"
        told = f"{median} (median of {len(chosen)} classes)" if len(chosen) > 1 else median
        return Prediction(said, inner_score(inner, held.labels), told)


def _learnable(labels: np.ndarray) -> bool:
    yes = int(labels.sum())
    return FEWEST <= yes < len(labels)


def _choose(
    x: np.ndarray, y: np.ndarray, x_held: np.ndarray, y_held: np.ndarray, seed: int
) -> tuple[int, np.ndarray]:
    """Give the number of trees with the least loss held out, and what they predict there."""
    model = _model(ITERATIONS, seed, early_stopping=True, n_iter_no_change=PATIENCE, tol=0)
    model.fit(x, y, X_val=x_held, y_val=y_held)
    # The first score is that of no tree.
    trees = int(np.argmax(model.validation_score_[1:])) + 1
    last = next(islice(model.staged_predict_proba(x_held), trees - 1, None))
    return trees, last[:, 1]


def _model(trees: int, seed: int, **options: Any) -> HistGradientBoostingClassifier:
    options = {"early_stopping": False, **options}
    return HistGradientBoostingClassifier(max_iter=trees, random_state=seed, **options)
