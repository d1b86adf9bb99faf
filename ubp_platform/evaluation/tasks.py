"""The six tasks of RecSys Challenge 2025: whom they ask about, and the right answers.

All labels of a task are made at once, in columns, from one sum of purchases a window.
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
from ubp_platform.evaluation.places import find
from ubp_platform.evaluation.split import Split
from ubp_platform.events.schema import ID_COLUMNS
from ubp_platform.warehouse import Warehouse, targets

#: How many classes a multi-label task has at most.
CLASSES = 100
#: The multi-label tasks, by the column of a purchase that they ask for.
PROPENSITIES = {
    "propensity_category": "category",
    "propensity_sku": "sku",
    "propensity_price": "price",
    "propensity_new_sku": "sku",
}
TASKS = ("churn", "conversion", *PROPENSITIES)


@dataclass(frozen=True)
class Classes:
    """What a multi-label task asks for.

    Parameters
    ----------
    values : ndarray of int64, shape (n_classes,)
        Most bought first.
    popularity : ndarray of float64, shape (n_classes,)
        How much each was bought; the scale does not matter.
    """

    values: np.ndarray
    popularity: np.ndarray


@dataclass(frozen=True)
class Task:
    """A task with its right answers.

    Parameters
    ----------
    name : str
        One of :data:`TASKS`.
    rows : ndarray of int64, shape (n_rows,)
        Whom it asks about, as positions in the list of clients, ascending.
    train, validation : ndarray of uint8, shape (n_rows, n_classes)
        1 where the answer is yes. A binary task has one column.
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
        """Whether it is one question or one for each class."""
        return "binary" if self.classes is None else "multilabel"

    @property
    def unanswerable(self) -> int:
        """How many classes nobody bought in the validation window, or all did.

        Their AUROC is not defined.
        """
        yes = self.validation.sum(axis=0, dtype=np.int64)
        return int(((yes == 0) | (yes == len(self.rows))).sum())


class Targets:
    """Poses the tasks to a list of clients.

    Parameters
    ----------
    warehouse : Warehouse
    split : Split
    clients : ndarray of int64, shape (n_clients,)
        Whom to ask about, each once, in the order in which networks see them.
    given : Path, optional
        A directory with classes and popularities, ``TASK.npy`` and ``popularity_TASK.npy``, as the
        challenge ships them; what it holds takes the place of what would be computed.
    """

    def __init__(
        self, warehouse: Warehouse, split: Split, clients: np.ndarray, given: Path | None = None
    ) -> None:
        self._warehouse, self._split = warehouse, split
        self.clients = clients
        if given is not None and not given.is_dir():
            raise UBPError(f"{given} is not a directory of class lists")
        self._given = (
            {name: _load(warehouse, given, name) for name in PROPENSITIES} if given else {}
        )
        if given and not any(self._given.values()):
            raise UBPError(
                f"{given} holds no class list: none of "
                f"{', '.join(f'{name}.npy' for name in PROPENSITIES)}"
            )

    @cached_property
    def windows(self) -> tuple[pa.Table, pa.Table]:
        """What was bought in the train and in the validation window, by anybody."""
        train, validation = self._split.train_window, self._split.validation_window
        return (
            targets.purchases(self._warehouse, *train),
            targets.purchases(self._warehouse, *validation),
        )

    @cached_property
    def active(self) -> np.ndarray:
        """The listed clients with a purchase in the input, as positions, ascending."""
        return np.sort(find(self.clients, targets.buyers(self._warehouse, self._split.cutoff))[0])

    def task(self, name: str) -> Task:
        """Pose a task.

        Parameters
        ----------
        name : str
            One of :data:`TASKS`.

        Raises
        ------
        TaskUnavailable
            If the log or the clients do not allow it; says why.
        """
        if name in PROPENSITIES:
            return self._propensity(name)
        return self._churn(name, self.active if name == "churn" else np.arange(len(self.clients)))

    def _churn(self, name: str, rows: np.ndarray) -> Task:
        if not len(rows):
            raise TaskUnavailable("no listed client bought anything in the input")
        labels: list[np.ndarray] = []
        for window in self.windows:
            churned = np.ones((len(self.clients), 1), dtype=np.uint8)
            churned[find(self.clients, np.unique(window["client_id"].to_numpy()))[0]] = 0
            labels.append(churned[rows])
        for when, answers in zip(("train", "validation"), labels, strict=True):
            yes = int(answers.sum())
            if yes in (0, len(rows)):
                done = "none" if yes else "every one"
                raise TaskUnavailable(
                    f"of the {len(rows):,} clients asked about, {done} bought in the {when} window"
                )
        return Task(name, rows, train=labels[0], validation=labels[1])

    def _propensity(self, name: str) -> Task:
        classes = self.classes(name)
        column, rows = PROPENSITIES[name], np.arange(len(self.clients))
        labels = [self._bought(window, column, classes.values) for window in self.windows]
        if not all(answers.any() for answers in labels):
            raise TaskUnavailable("no listed client bought any of its classes in a window")
        return Task(name, rows, train=labels[0], validation=labels[1], classes=classes)

    def _bought(self, window: pa.Table, column: str, classes: np.ndarray) -> np.ndarray:
        """Tell who bought what: uint8, shape (n_clients, n_classes)."""
        labels = np.zeros((len(self.clients), len(classes)), dtype=np.uint8)
        bought = window.filter(pc.is_valid(window[column]))
        place, known = find(classes, bought[column].to_numpy())
        rows, listed = find(self.clients, bought["client_id"].to_numpy()[known])
        labels[rows, place[listed]] = 1
        return labels

    def classes(self, name: str) -> Classes:
        """Give the classes of a multi-label task: given ones, or the most bought.

        Parameters
        ----------
        name : str
            A key of :data:`PROPENSITIES`.

        Raises
        ------
        TaskUnavailable
            If there are fewer than two.
        """
        classes = self._given.get(name)
        if classes is None:
            classes = self._most_bought(name)
        if len(classes.values) < 2:
            raise TaskUnavailable(f"it has {len(classes.values)} of the two classes that it takes")
        return classes

    def _most_bought(self, name: str) -> Classes:
        train, validation = self.windows
        column, bought = PROPENSITIES[name], train
        if name == "propensity_new_sku":
            bought = pa.concat_tables([train, validation])
            seen = targets.touched_skus(self._warehouse, self._split.cutoff)
            bought = bought.filter(pa.array(~find(seen, bought[column].to_numpy())[1]))
        bought = bought.filter(pc.is_valid(bought[column]))
        values, which = np.unique(bought[column].to_numpy(), return_inverse=True)
        counts = np.bincount(which, bought["purchases"].to_numpy(), minlength=len(values))
        # Most bought first, ties by value.
        top = np.lexsort((values, -counts))[:CLASSES]
        return Classes(values[top].astype(np.int64), counts[top].astype(np.float64))


def _load(warehouse: Warehouse, directory: Path, name: str) -> Classes | None:
    """Read given classes; None where there are none for this task."""
    path, popularity_path = directory / f"{name}.npy", directory / f"popularity_{name}.npy"
    if not path.exists():
        return None
    if not popularity_path.exists():
        raise UBPError(f"{path} comes without {popularity_path.name}")
    values, popularity = load_array(path), load_array(popularity_path)
    column = PROPENSITIES[name]
    kinds = "iuU" if column in ID_COLUMNS else "iu"
    if values.ndim != 1 or values.dtype.kind not in kinds:
        raise UBPError(f"{path} must be a list of whole numbers, not {_form(values)}")
    if len(np.unique(values)) != len(values):
        raise UBPError(f"{path} names a class twice")
    if popularity.shape != values.shape or popularity.dtype.kind not in "iuf":
        raise UBPError(
            f"{popularity_path} must be {len(values)} numbers, one for each class of {path.name}, "
            f"not {_form(popularity)}"
        )
    if not (np.isfinite(popularity).all() and (popularity >= 0).all() and popularity.any()):
        raise UBPError(f"{popularity_path} must be numbers from 0 on, not all 0")
    if column in ID_COLUMNS:
        values = warehouse.identifiers(column).keys(values)
    return Classes(values.astype(np.int64), popularity.astype(np.float64))


def load_array(path: Path) -> np.ndarray:
    """Read an ``.npy`` file that may come from anybody: nothing in it is run.

    Raises
    ------
    UBPError
        If it is missing or no such file.
    """
    try:
        with path.open("rb") as file:
            array: np.ndarray = np.lib.format.read_array(file, allow_pickle=False)
    except FileNotFoundError:
        raise UBPError(f"no such file: {path}") from None
    except OSError as error:
        raise UBPError(f"{path}: {error.strerror}") from None
    except Exception:  # numpy hands on whatever Python's parser says of a broken header
        raise UBPError(
            f"{path} is no array of numbers in numpy's format: numpy.save({path.name!r}, array) "
            "writes one"
        ) from None
    return array


def choose(names: Sequence[str]) -> tuple[str, ...]:
    """Give the tasks named, in their usual order; all by default.

    Raises
    ------
    UBPError
        If there is no such task.
    """
    for name in names:
        if name not in TASKS:
            raise UBPError(f"no task is called {name!r}; there are {', '.join(TASKS)}")
    return tuple(name for name in TASKS if not names or name in names)


def _form(array: np.ndarray) -> str:
    return f"{array.dtype} of shape {array.shape}"
