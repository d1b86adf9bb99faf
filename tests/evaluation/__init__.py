"""What the tests of the evaluation share."""

import numpy as np

from ubp_platform.evaluation.tasks import Classes, Task


def binary(train: np.ndarray, validation: np.ndarray, name: str = "churn") -> Task:
    """Ask everybody one question; the answers are given."""
    columns = (np.asarray(answers, np.uint8)[:, None] for answers in (train, validation))
    return Task(name, np.arange(len(train)), *columns)


def multilabel(train: np.ndarray, validation: np.ndarray, popularity: np.ndarray) -> Task:
    """Ask everybody one question a class; the answers are given."""
    labels = (np.asarray(answers, np.uint8) for answers in (train, validation))
    classes = Classes(np.arange(len(popularity)), np.asarray(popularity, np.float64))
    return Task("propensity_sku", np.arange(len(train)), *labels, classes)
