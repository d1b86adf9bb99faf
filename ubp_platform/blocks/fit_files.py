"""The files of a fitted block: ``block.json`` and ``weights.safetensors``."""

import hashlib
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import BaseModel
from safetensors.numpy import load_file, save

from ubp_platform import sealed
from ubp_platform.blocks.fit_report import FitReport
from ubp_platform.blocks.state_arrays import Arrays, digest
from ubp_platform.errors import DamagedFile

_DESCRIPTION, _WEIGHTS = "block.json", "weights.safetensors"


class FitDescription(BaseModel):
    """The content of ``block.json``.

    Parameters
    ----------
    block : str
    revision : int, optional
    definition : str, optional
    params : dict
    report : FitReport
    saved_at : datetime, optional
    identity : str
        What the fit was made from; see :meth:`Block.identity`. Earlier releases wrote it to a file
        of that name.
    fit : str
        The hash of the fit itself. Two fits with equal hashes encode alike.
    keys : str
        What the keys of text ids stood for; see :mod:`ubp_platform.warehouse.key_states`.
    """

    block: str
    revision: int | None = None
    definition: str | None = None
    params: dict[str, Any]
    report: FitReport
    saved_at: datetime | None = None
    identity: str = ""
    fit: str = ""
    keys: str = ""


def fit_hash(identity: str, arrays: Arrays) -> str:
    """Identify a fit by what it was made from and what it learned."""
    return hashlib.sha256(f"{identity}\n{digest(arrays)}".encode()).hexdigest()


def write_description(directory: Path, description: FitDescription) -> None:
    """Write ``block.json``."""
    (directory / _DESCRIPTION).write_text(sealed.sealed_json(description), "utf-8")


def read_description(directory: Path) -> FitDescription:
    """Read ``block.json``.

    Raises
    ------
    DamagedFile
        If it is missing or damaged.
    """
    found = sealed.read_json(directory / _DESCRIPTION, FitDescription, _cure(directory))
    older = directory / "identity"
    if not found.fit and older.exists():  # of an earlier release
        found.identity = older.read_text()
        found.fit = fit_hash(found.identity, read_weights(directory))
    return found


def write_weights(directory: Path, arrays: Arrays) -> None:
    """Write ``weights.safetensors``."""
    contiguous = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    content = save(contiguous, metadata={sealed.FIELD: sealed.UNSEALED})
    (directory / _WEIGHTS).write_bytes(sealed.sealed(content))


def read_weights(directory: Path) -> Arrays:
    """Read ``weights.safetensors``.

    Raises
    ------
    DamagedFile
        If it is missing or damaged.
    """
    path = directory / _WEIGHTS
    return sealed.read(path, _cure(directory), lambda: load_file(path))


def read_fit(directory: Path) -> Arrays:
    """Read the weights of a fit.

    Raises
    ------
    DamagedFile
        If they are missing, damaged, or those of another fit.
    """
    described, arrays = read_description(directory), read_weights(directory)
    if described.fit not in ("", fit_hash(described.identity, arrays)):
        raise DamagedFile(f"{directory / _WEIGHTS} is of another fit: {_cure(directory)}")
    return arrays


def check_weights(directory: Path) -> None:
    """Check ``weights.safetensors`` as :func:`read_weights` does, without loading it."""
    sealed.check(directory / _WEIGHTS, _cure(directory))


def _cure(directory: Path) -> str:
    return f"`ubp train {directory.parent.name}` fits the block again"
