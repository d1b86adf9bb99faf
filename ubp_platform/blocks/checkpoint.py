"""The state of an unfinished fit, from which it resumes after an interruption."""

import json
import time
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import safe_open
from safetensors.numpy import save

from ubp_platform import sealed
from ubp_platform.blocks.state_arrays import Arrays
from ubp_platform.errors import UBPError
from ubp_platform.files import atomic_file, make_directory

_STATE, _SECONDS = "state", "seconds"


class Checkpoint:
    """The state of one unfinished fit, in one file that is replaced atomically.

    Parameters
    ----------
    path : Path, optional
        The file; without one nothing is saved or resumed.
    writes : bool
        False where another process of the same fit saves the state.

    Attributes
    ----------
    seconds : float
        How long the fit had taken when the loaded state was saved.

    Examples
    --------
    >>> Checkpoint().load() is None
    True
    """

    def __init__(self, path: Path | None = None, *, writes: bool = True) -> None:
        self._path, self._writes = path, writes
        self.seconds, self._start = 0.0, time.perf_counter()

    def __bool__(self) -> bool:
        return self._path is not None

    def save(self, arrays: Arrays, state: dict[str, Any]) -> None:
        """Save the state after an epoch: arrays, such as weights, and what is JSON-ready."""
        if self._path is None or not self._writes:
            return
        make_directory(self._path.parent)
        contiguous = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
        seconds = self.seconds + time.perf_counter() - self._start
        metadata = {
            _STATE: json.dumps(state),
            _SECONDS: str(seconds),
            sealed.FIELD: sealed.UNSEALED,
        }
        with atomic_file(self._path) as temporary:
            temporary.write_bytes(sealed.sealed(save(contiguous, metadata)))

    def load(self) -> tuple[Arrays, dict[str, Any]] | None:
        """Return the arguments of the last :meth:`save`, or None where there was none.

        A fit calls it when it begins: its time counts from here.

        Raises
        ------
        UBPError
            If the file is broken, or was written by another release.
        """
        self._start = time.perf_counter()
        if self._path is None or not self._path.exists():
            return None
        arrays, metadata = sealed.read(self._path, "train without --resume", self._read)
        if _STATE not in metadata:
            raise UBPError(
                f"the checkpoint {self._path} is of another release: train without --resume"
            )
        self.seconds = float(metadata[_SECONDS])
        return arrays, json.loads(metadata[_STATE])

    def _read(self) -> tuple[Arrays, dict[str, str]]:
        with safe_open(self._path, framework="numpy") as file:
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            return arrays, file.metadata() or {}

    def clear(self) -> None:
        """Delete the state: the fit is complete, or is to start again."""
        if self._path is not None:
            self._path.unlink(missing_ok=True)
