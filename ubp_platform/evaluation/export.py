"""A directory in the format of RecSys Challenge 2025: embeddings and the data to score them on.

The organisers' programs (github.com/Synerise/recsys2025) accept it as both ``--data-dir`` and
``--embeddings-dir``.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from ubp_platform import files
from ubp_platform.errors import TaskUnavailable, UBPError
from ubp_platform.evaluation.class_lists import PROPENSITIES
from ubp_platform.evaluation.representations import MAX_WIDTH, as_float16
from ubp_platform.evaluation.split import Split
from ubp_platform.evaluation.tasks import Targets
from ubp_platform.events.schema import EVENT_TYPES, ID_COLUMNS
from ubp_platform.progress import ProgressFactory, logged
from ubp_platform.warehouse import Warehouse, unload

# In the order in which they appear: the files that mark a directory of embeddings come last.
_ENTRIES = ("product_properties.parquet", "target", "input", "embeddings.npy", "client_ids.npy")
# Rows of embeddings that are written at once.
_ROWS = 16_384


@contextmanager
def appearing(directory: Path) -> Iterator[Path]:
    """Fill a directory at once: files are written elsewhere and moved when all are complete.

    Parameters
    ----------
    directory : Path
        Created if needed. Other files in it stay.

    Yields
    ------
    Path
        The temporary directory to write into.

    Raises
    ------
    UBPError
        If the path is a file, or the directory has any of the entries already.
    """
    _check_free(directory)
    # In the directory or its parent: on the same disk, so that it can be renamed.
    parent = directory if directory.exists() else directory.parent
    with files.temporary_directory(parent) as unfinished:
        yield unfinished
        files.sync_tree(unfinished)
        _check_free(directory)
        if directory.exists():
            files.move_into(directory, [unfinished / name for name in _ENTRIES])
        else:
            unfinished.rename(directory)
            files.sync(directory.parent)


def _check_free(directory: Path) -> None:
    if directory.exists() and not directory.is_dir():
        raise UBPError(f"{directory} is a file: name a directory to write into")
    taken = [name for name in _ENTRIES if (directory / name).exists()]
    if taken:
        raise UBPError(
            f"{directory} has {', '.join(taken)} already: remove them, or name another directory"
        )


def write_embeddings(directory: Path, clients: np.ndarray, vectors: np.ndarray) -> None:
    """Write ``client_ids.npy`` and ``embeddings.npy``.

    Parameters
    ----------
    directory : Path
    clients : ndarray of int64, shape (n_clients,)
        Distinct.
    vectors : ndarray of float, shape (n_clients, width)
        Written as float16.

    Raises
    ------
    UBPError
        If the vectors are wider than the challenge accepts, or a value exceeds float16.
    """
    if vectors.shape[1] > MAX_WIDTH:
        raise UBPError(
            f"the profile has {vectors.shape[1]:,} numbers, and the challenge accepts at most "
            f"{MAX_WIDTH:,}: choose fewer blocks"
        )
    _save(directory / "client_ids.npy", clients)
    kind = np.lib.format.dtype_to_descr(np.dtype(np.float16))
    header = {"descr": kind, "fortran_order": False, "shape": vectors.shape}
    with (directory / "embeddings.npy").open("wb") as file:
        np.lib.format.write_array_header_1_0(file, header)
        for start in range(0, len(vectors), _ROWS):
            file.write(as_float16(vectors[start : start + _ROWS], "the profile").tobytes())


def write_split(
    directory: Path,
    warehouse: Warehouse,
    split: Split,
    targets: Targets,
    progress: ProgressFactory = logged,
) -> dict[str, str]:
    """Write the product properties, and the directories ``input`` and ``target``.

    Parameters
    ----------
    directory : Path
    warehouse : Warehouse
    split : Split
    targets : Targets
        The tasks of the relevant clients.
    progress : ProgressFactory

    Returns
    -------
    dict of str to str
        Tasks without classes in this log, with the reasons.
    """
    events, labels = directory / "input", directory / "target"
    events.mkdir()
    labels.mkdir()
    with progress("write events", None, "rows") as advance:
        advance(
            unload.product_file(warehouse, split.cutoff, directory / "product_properties.parquet")
        )
        for name in EVENT_TYPES:
            path = events / f"{name}.parquet"
            advance(unload.event_file(warehouse, name, split.cutoff, path))
        for name, window in (
            ("train_target", split.train_window),
            ("validation_target", split.validation_window),
        ):
            advance(unload.purchase_file(warehouse, *window, labels / f"{name}.parquet"))
    ids = warehouse.identifiers("client_id")
    _save(events / "relevant_clients.npy", ids.ids(targets.clients))
    _save(labels / "active_clients.npy", ids.ids(targets.clients[targets.active]))
    return _write_classes(labels, warehouse, targets)


def _write_classes(directory: Path, warehouse: Warehouse, targets: Targets) -> dict[str, str]:
    unavailable = {}
    for name in PROPENSITIES:
        try:
            classes = targets.classes(name)
        except TaskUnavailable as reason:
            unavailable[name] = str(reason)
            continue
        values, column = classes.values, PROPENSITIES[name]
        if column in ID_COLUMNS:
            values = warehouse.identifiers(column).ids(values)
        _save(directory / f"{name}.npy", values)
        _save(directory / f"popularity_{name}.npy", classes.popularity)
    return unavailable


def _save(path: Path, array: np.ndarray) -> None:
    np.save(path, array, allow_pickle=False)
