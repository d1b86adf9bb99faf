"""Where a fit stands: what it needs to go on from its last epoch after it was cut off."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import safe_open
from safetensors.numpy import save_file

_SAID = "said"


class Checkpoint:
    """The state of one unfinished fit, in one file that is replaced at once.

    Parameters
    ----------
    path : Path, optional
        The file; without one nothing is kept, and there is nothing to resume.

    Examples
    --------
    >>> Checkpoint().load() is None
    True
    """

    def __init__(self, path: Path | None = None) -> None:
        self._path = path

    def save(self, arrays: dict[str, np.ndarray], said: dict[str, Any]) -> None:
        """Keep the state after an epoch.

        Parameters
        ----------
        arrays : dict of str to ndarray
            Weights, the optimizer's state, generators' states.
        said : dict
            The rest, JSON-ready: epochs done, losses.
        """
        if self._path is None:
            return
        self._path.parent.mkdir(parents=True, exist_ok=True)
        temporary = self._path.with_suffix(".part")
        contiguous = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
        save_file(contiguous, temporary, metadata={_SAID: json.dumps(said)})
        temporary.replace(self._path)

    def load(self) -> tuple[dict[str, np.ndarray], dict[str, Any]] | None:
        """Give what :meth:`save` was given last, or None where there is nothing."""
        if self._path is None or not self._path.exists():
            return None
        with safe_open(self._path, framework="numpy") as file:
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            return arrays, json.loads(file.metadata()[_SAID])

    def clear(self) -> None:
        """Forget the state: the fit is whole, or is to start anew."""
        if self._path is not None:
            self._path.unlink(missing_ok=True)
