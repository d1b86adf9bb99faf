"""The six tasks of RecSys Challenge 2025: the clients of each, and their labels.

All labels of a task are computed at once, column by column, from one aggregate of each window's
purchases.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ubp_platform.errors import TaskUnavailable, UBPError
from ubp_platform.evaluation.class_lists import PROPENSITIES, Classes, read_class_lists
from ubp_platform.evaluation.lookup import positions_in
from ubp_platform.evaluation.split import Split
from ubp_platform.warehouse import Warehouse, targets
from ubp_platform.warehouse.delivery_times import EVERYTHING, Known

#: The maximum number of classes of a multi-label task.
CLASSES = 100
TASKS = ("churn", "conversion", *PROPENSITIES)


@dataclass(frozen=True)
class Task:
    """A task with its labels.

    Parameters
    ----------
    name : str
        One of :data:`TASKS`.
    rows : ndarray of int64, shape (n_rows,)
        The task's clients, as positions in the list of clients, ascending.
    train, validation : ndarray of uint8, shape (n_rows, n_classes)
        1 for a positive label. A binary task has one column.
    classes : Classes, optional
        None for a binary task.
    """

    name: str
    rows: np.ndarray
    train: np.ndarray
    validation: np.ndarray
    classes: Classes | None = None

    @property
    def kind(self) -> Literal["binary", "multilabel"]:
        """Whether the task has one label per client, or one per class."""
        return "binary" if self.classes is None else "multilabel"

    @property
    def unanswerable(self) -> int:
        """Number of classes with only one label in the validation window: undefined AUROC."""
        positives = self.validation.sum(axis=0, dtype=np.int64)
        return int(((positives == 0) | (positives == len(self.rows))).sum())


class Targets:
    """Computes the tasks of a list of clients.

    Parameters
    ----------
    warehouse : Warehouse
    split : Split
    clients : ndarray of int64, shape (n_clients,)
        Distinct clients, in the order in which networks see them.
    class_lists : Path, optional
        A directory of class lists that replace computed classes, see
        :func:`~ubp_platform.evaluation.class_lists.read_class_lists`.
    known : Known
        What was known of the input; what is predicted is what happened.
    """

    def __init__(
        self,
        warehouse: Warehouse,
        split: Split,
        clients: np.ndarray,
        class_lists: Path | None = None,
        known: Known = EVERYTHING,
    ) -> None:
        self._warehouse, self._split, self._known = warehouse, split, known
        self.clients = clients
        self._given = read_class_lists(warehouse, class_lists) if class_lists else {}

    @cached_property
    def windows(self) -> tuple[pa.Table, pa.Table]:
        """All clients' purchases in the train and in the validation window."""
        train, validation = self._split.train_window, self._split.validation_window
        return (
            targets.purchases(self._warehouse, *train),
            targets.purchases(self._warehouse, *validation),
        )

    @cached_property
    def active(self) -> np.ndarray:
        """The listed clients with a purchase in the input, as positions, ascending."""
        buyers = targets.buyers(self._warehouse, self._split.cutoff, self._known)
        return np.sort(positions_in(self.clients, buyers)[0])

    def available(
        self, names: Sequence[str], strict: bool = False
    ) -> tuple[list[Task], dict[str, str]]:
        """Compute the tasks that the log has labels for.

        Parameters
        ----------
        names : sequence of str
        strict : bool
            Whether an unavailable task is an error.

        Returns
        -------
        tasks : list of Task
        unavailable : dict of str to str
            The other tasks, with the reasons.

        Raises
        ------
        TaskUnavailable
            If a task, or with ``strict=False`` every task, is unavailable.
        """
        tasks, reasons = [], {}
        for name in names:
            try:
                tasks.append(self.task(name))
            except TaskUnavailable as reason:
                if strict:
                    raise TaskUnavailable(f"{name}: {reason}") from None
                reasons[name] = str(reason)
        if not tasks:
            listed = "; ".join(f"{name}: {reason}" for name, reason in reasons.items())
            raise TaskUnavailable(f"no task is available: {listed}")
        return tasks, reasons

    def task(self, name: str) -> Task:
        """Compute a task, one of :data:`TASKS`.

        Raises
        ------
        TaskUnavailable
            If the log or the clients do not allow it.
        """
        if name in PROPENSITIES:
            return self._propensity(name)
        return self._churn(name, self.active if name == "churn" else np.arange(len(self.clients)))

    def _churn(self, name: str, rows: np.ndarray) -> Task:
        """Label a client 1 that buys nothing; also for conversion, which differs in its clients."""
        if not len(rows):
            raise TaskUnavailable("no listed client bought anything in the input")
        labels: list[np.ndarray] = []
        for when, window in zip(("train", "validation"), self.windows, strict=True):
            churned = np.ones((len(self.clients), 1), dtype=np.uint8)
            churned[positions_in(self.clients, np.unique(window["client_id"].to_numpy()))[0]] = 0
            labels.append(churned[rows])
            positives = int(labels[-1].sum())
            if positives in (0, len(rows)):
                buyers = "none" if positives else "every one"
                raise TaskUnavailable(
                    f"of the {len(rows):,} clients to evaluate, {buyers} bought in the {when} "
                    "window"
                )
        return Task(name, rows, train=labels[0], validation=labels[1])

    def _propensity(self, name: str) -> Task:
        classes = self.classes(name)
        column, rows = PROPENSITIES[name], np.arange(len(self.clients))
        train, validation = (
            self._bought(window, column, classes.values) for window in self.windows
        )
        if not (train.any() and validation.any()):
            raise TaskUnavailable("no listed client bought any of its classes in a window")
        return Task(name, rows, train=train, validation=validation, classes=classes)

    def _bought(self, window: pa.Table, column: str, classes: np.ndarray) -> np.ndarray:
        """Label which clients bought which classes: uint8, shape (n_clients, n_classes)."""
        labels = np.zeros((len(self.clients), len(classes)), dtype=np.uint8)
        bought = window.filter(pc.is_valid(window[column]))
        columns, known = positions_in(classes, bought[column].to_numpy())
        rows, listed = positions_in(self.clients, bought["client_id"].to_numpy()[known])
        labels[rows, columns[listed]] = 1
        return labels

    def classes(self, name: str) -> Classes:
        """Return the classes of a multi-label task: given ones, or the most bought.

        Parameters
        ----------
        name : str
            A key of :data:`PROPENSITIES`.

        Raises
        ------
        TaskUnavailable
            If there are fewer than two.
        """
        classes = self._given.get(name) or self._most_bought(name)
        if len(classes.values) < 2:
            raise TaskUnavailable(f"it has {len(classes.values)} of the two classes that it needs")
        return classes

    def _most_bought(self, name: str) -> Classes:
        train, validation = self.windows
        column, bought = PROPENSITIES[name], train
        if name == "propensity_new_sku":
            bought = pa.concat_tables([train, validation])
            seen = targets.touched_skus(self._warehouse, self._split.cutoff, self._known)
            bought = bought.filter(pa.array(~positions_in(seen, bought[column].to_numpy())[1]))
        bought = bought.filter(pc.is_valid(bought[column]))
        values, which = np.unique(bought[column].to_numpy(), return_inverse=True)
        counts = np.bincount(which, bought["purchases"].to_numpy(), minlength=len(values))
        # Most bought first, ties by value.
        top = np.lexsort((values, -counts))[:CLASSES]
        return Classes(values[top].astype(np.int64), counts[top].astype(np.float64))


def select_tasks(names: Sequence[str]) -> tuple[str, ...]:
    """Return the named tasks in their usual order; all by default.

    Raises
    ------
    UBPError
        If a name is unknown.
    """
    for name in names:
        if name not in TASKS:
            raise UBPError(f"no task is called {name!r}; there are {', '.join(TASKS)}")
    return tuple(name for name in TASKS if not names or name in names)
