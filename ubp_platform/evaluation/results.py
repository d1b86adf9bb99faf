"""The results of an evaluation: one per fit, with descriptions of tasks and representations."""

import numpy as np
from pydantic import BaseModel, Field

from ubp_platform.evaluation.heads import HeadName
from ubp_platform.evaluation.metrics import Metrics
from ubp_platform.evaluation.representations import Kind, Representation
from ubp_platform.evaluation.tasks import Task


class Curves(BaseModel):
    """Curves of a binary task: the ROC at even false positive rates, and binned calibration."""

    false_positives: list[float]
    true_positives: list[float]
    predicted: list[float]
    observed: list[float]


class Result(BaseModel):
    """The scores of one fit.

    Parameters
    ----------
    representation, task : str
    head : {"network", "logistic", "boosting"}
    labels : int, optional
        Number of labelled clients; None: all.
    seed, block_seed : int
        Seeds of the head and of the blocks.
    choice : str
        The selected hyperparameters, as text.
    inner : float, optional
        Their mean AUROC on the clients held out by the inner split; None under the challenge's
        protocol.
    metrics : Metrics
        On the validation window.
    epochs : list of Metrics
        After each epoch of the network, under the challenge's protocol.
    seconds : float
        Time of fitting and scoring when the result was computed.
    curves : Curves, optional
        For a binary task.
    draws : bytes
        Scores of the bootstrap draws, float32; not part of the JSON.
    """

    representation: str
    task: str
    head: HeadName
    labels: int | None = None
    seed: int
    block_seed: int = 0
    choice: str
    inner: float | None = None
    metrics: Metrics
    epochs: list[Metrics] = []
    seconds: float
    curves: Curves | None = None
    draws: bytes = Field(b"", exclude=True, repr=False)

    @property
    def drawn(self) -> np.ndarray:
        """Scores of the bootstrap draws: float32, shape (n_draws,)."""
        return np.frombuffer(self.draws, np.float32)


class TaskInfo(BaseModel):
    """The size of a task.

    Parameters
    ----------
    name : str
    clients : int
    classes : int
        1 for a binary task.
    train, validation : float
        Share of positive labels.
    unanswerable : int
        Classes with only one label in the validation window: their AUROC is left out of the mean,
        or counts as 0, depending on the protocol.
    """

    name: str
    clients: int
    classes: int
    train: float
    validation: float
    unanswerable: int

    @classmethod
    def of(cls, task: Task) -> "TaskInfo":
        """Describe a task."""
        return cls(
            name=task.name,
            clients=len(task.rows),
            classes=task.train.shape[1],
            train=float(task.train.mean()),
            validation=float(task.validation.mean()),
            unanswerable=task.unanswerable if task.classes else 0,
        )


class RepresentationInfo(BaseModel):
    """The name, kind and width of a representation."""

    name: str
    kind: Kind
    width: int

    @classmethod
    def of(cls, representation: Representation) -> "RepresentationInfo":
        """Describe a representation."""
        return cls(name=representation.name, kind=representation.kind, width=representation.width)
