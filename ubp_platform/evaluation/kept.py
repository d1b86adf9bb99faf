"""Results that are kept: each under a name that follows from all that it depends on."""

import hashlib
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import sklearn
import torch
from pydantic import ValidationError

from ubp_platform.blocks.torch_runtime import device
from ubp_platform.choices import ProtocolName
from ubp_platform.evaluation.bootstrap import Bootstrap
from ubp_platform.evaluation.heads import Head
from ubp_platform.evaluation.plan import Job
from ubp_platform.evaluation.scores import Result
from ubp_platform.evaluation.tasks import Task
from ubp_platform.files import atomic_file, write_text

#: Raised with each change that gives other scores for the same vectors and labels.
REVISION = 2


def name_of(job: Job, labels: str, head: Head, protocol: ProtocolName, draws: Bootstrap) -> str:
    """Name a result: equal names, equal results, whatever representation and task are called.

    Parameters
    ----------
    job : Job
    labels : str
        The task's :func:`digest`.
    head : Head
    protocol : {"holdout", "challenge"}
    draws : Bootstrap
    """
    made_of: list[Any] = [job.representation.identity, labels, job.labels, job.seed, protocol]
    made_of += [head.parameters, draws.clients, draws.draws, draws.seed, REVISION]
    made_of += [torch.__version__, sklearn.__version__, device().type]
    return hashlib.sha256(json.dumps(made_of).encode()).hexdigest()


def digest(task: Task) -> str:
    """Name a task's questions and answers: equal names, equal tasks, whatever they are called."""
    found = hashlib.sha256(task.kind.encode())
    found.update(np.ascontiguousarray(task.rows).data)
    found.update(np.packbits(task.train, axis=None).data)
    found.update(np.packbits(task.validation, axis=None).data)
    if task.classes is not None:
        found.update(np.ascontiguousarray(task.classes.popularity).data)
    return found.hexdigest()


def read(directory: Path, name: str) -> Result | None:
    """Read a result that was kept; one that was cut off by a power failure is made again."""
    try:
        result = Result.model_validate_json((directory / f"{name}.json").read_text())
        draws: np.ndarray = np.load(directory / f"{name}.npy", allow_pickle=False)
    except (FileNotFoundError, ValidationError, ValueError, EOFError):
        return None
    return result.model_copy(update={"draws": draws.astype(np.float32).tobytes()})


def write(directory: Path, name: str, result: Result) -> None:
    """Keep a result: its scores in the draws as ``NAME.npy``, then the rest as ``NAME.json``."""
    directory.mkdir(parents=True, exist_ok=True)
    array = io.BytesIO()
    np.save(array, result.drawn, allow_pickle=False)
    with atomic_file(directory / f"{name}.npy") as temporary:
        temporary.write_bytes(array.getvalue())
    write_text(directory / f"{name}.json", result.model_dump_json())
