"""Tasks for the tests of the evaluation."""

import numpy as np

from ubp_platform.evaluation.class_lists import Classes
from ubp_platform.evaluation.tasks import Task


def binary(train: np.ndarray, validation: np.ndarray, name: str = "churn") -> Task:
    """A binary task of all clients."""
    columns = (np.asarray(labels, np.uint8)[:, None] for labels in (train, validation))
    return Task(name, np.arange(len(train)), *columns)


def multilabel(train: np.ndarray, validation: np.ndarray, popularity: np.ndarray) -> Task:
    """A multi-label task of all clients."""
    columns = (np.asarray(labels, np.uint8) for labels in (train, validation))
    classes = Classes(np.arange(len(popularity)), np.asarray(popularity, np.float64))
    return Task("propensity_sku", np.arange(len(train)), *columns, classes)
