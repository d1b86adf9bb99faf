"""Results on disk, keyed by a hash of everything they depend on."""

import hashlib
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import sklearn
import torch

from ubp_platform import sealed
from ubp_platform.blocks.torch_runtime import device
from ubp_platform.choices import ProtocolName
from ubp_platform.errors import DamagedFile
from ubp_platform.evaluation.bootstrap import Bootstrap
from ubp_platform.evaluation.heads import Head
from ubp_platform.evaluation.plan import Job
from ubp_platform.evaluation.results import Result
from ubp_platform.evaluation.tasks import Task
from ubp_platform.files import atomic_file, make_directory, write_text

#: Increased with each change that alters the scores of the same vectors and labels.
REVISION = 2


def result_key(
    job: Job, labels: str, head: Head, protocol: ProtocolName, bootstrap: Bootstrap
) -> str:
    """Return the key of a result: equal keys mean equal results.

    The names of the representation and of the task are not part of it.

    Parameters
    ----------
    job : Job
    labels : str
        The task's :func:`task_digest`.
    head : Head
    protocol : {"holdout", "challenge"}
    bootstrap : Bootstrap
    """
    content: list[Any] = [job.representation.identity, labels, job.labels, job.seed, protocol]
    content += [head.parameters, bootstrap.clients, bootstrap.draws, bootstrap.seed, REVISION]
    content += [torch.__version__, sklearn.__version__, device().type]
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()


def task_digest(task: Task) -> str:
    """Hash a task's clients, labels and classes, but not its name."""
    digest = hashlib.sha256(task.kind.encode())
    digest.update(np.ascontiguousarray(task.rows).data)
    digest.update(np.packbits(task.train, axis=None).data)
    digest.update(np.packbits(task.validation, axis=None).data)
    if task.classes is not None:
        digest.update(np.ascontiguousarray(task.classes.popularity).data)
    return digest.hexdigest()


class _Stored(Result):
    """A result on disk, with the hash of its draws; empty if an earlier release wrote it."""

    draws_sha256: str = ""


def read(directory: Path, key: str) -> Result | None:
    """Read a stored result; None if there is none, or only a damaged one: it is computed again."""
    array = directory / f"{key}.npy"
    try:
        stored = sealed.read_json(directory / f"{key}.json", _Stored, "")
        if stored.draws_sha256 not in ("", hashlib.sha256(array.read_bytes()).hexdigest()):
            return None
        draws: np.ndarray = np.load(array, allow_pickle=False)
    except (DamagedFile, FileNotFoundError, ValueError, EOFError):
        return None
    result = Result(**stored.model_dump(exclude={"draws_sha256"}))
    return result.model_copy(update={"draws": draws.astype(np.float32).tobytes()})


def write(directory: Path, key: str, result: Result) -> None:
    """Store a result: its bootstrap scores as ``KEY.npy``, then the rest as ``KEY.json``."""
    make_directory(directory)
    array = io.BytesIO()
    np.save(array, result.drawn, allow_pickle=False)
    with atomic_file(directory / f"{key}.npy") as temporary:
        temporary.write_bytes(array.getvalue())
    digest = hashlib.sha256(array.getvalue()).hexdigest()
    stored = _Stored(**result.model_dump(), draws_sha256=digest)
    write_text(directory / f"{key}.json", sealed.sealed_json(stored))
