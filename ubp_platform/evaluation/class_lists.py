"""The classes of multi-label tasks, and files that list them."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ubp_platform.errors import UBPError
from ubp_platform.events.schema import ID_COLUMNS
from ubp_platform.npy import describe, load_array
from ubp_platform.warehouse import Warehouse

#: The multi-label tasks, with the column of a purchase that their classes are values of.
PROPENSITIES = {
    "propensity_category": "category",
    "propensity_sku": "sku",
    "propensity_price": "price",
    "propensity_new_sku": "sku",
}


@dataclass(frozen=True)
class Classes:
    """The classes of a multi-label task.

    Parameters
    ----------
    values : ndarray of int64, shape (n_classes,)
        Most bought first.
    popularity : ndarray of float64, shape (n_classes,)
        Purchases, on any scale.
    """

    values: np.ndarray
    popularity: np.ndarray


def read_class_lists(warehouse: Warehouse, directory: Path) -> dict[str, Classes]:
    """Read ``TASK.npy`` and ``popularity_TASK.npy`` of some tasks, as the challenge ships them.

    Raises
    ------
    UBPError
        If the directory has no class list, or a file is invalid.
    """
    if not directory.is_dir():
        raise UBPError(f"{directory} is not a directory of class lists")
    names = [name for name in PROPENSITIES if (directory / f"{name}.npy").exists()]
    if not names:
        raise UBPError(
            f"{directory} has no class list: none of "
            f"{', '.join(f'{name}.npy' for name in PROPENSITIES)}"
        )
    return {name: _read(warehouse, directory, name) for name in names}


def _read(warehouse: Warehouse, directory: Path, name: str) -> Classes:
    path, popularity_path = directory / f"{name}.npy", directory / f"popularity_{name}.npy"
    if not popularity_path.exists():
        raise UBPError(f"{path} comes without {popularity_path.name}")
    values, popularity = load_array(path), load_array(popularity_path)
    column = PROPENSITIES[name]
    kinds = "iuU" if column in ID_COLUMNS else "iu"
    if values.ndim != 1 or values.dtype.kind not in kinds:
        raise UBPError(f"{path} must be a list of integers, not {describe(values)}")
    if len(np.unique(values)) != len(values):
        raise UBPError(f"{path} names a class twice")
    if popularity.shape != values.shape or popularity.dtype.kind not in "iuf":
        raise UBPError(
            f"{popularity_path} must be {len(values)} numbers, one per class of {path.name}, not "
            f"{describe(popularity)}"
        )
    if not (np.isfinite(popularity).all() and (popularity >= 0).all() and popularity.any()):
        raise UBPError(f"{popularity_path} must contain non-negative numbers, not only 0")
    if column in ID_COLUMNS:
        values = warehouse.identifiers(column).keys(values)
    return Classes(values.astype(np.int64), popularity.astype(np.float64))
