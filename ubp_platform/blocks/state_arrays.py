"""Named arrays, as blocks, learners and checkpoints save them; names are joined by full stops."""

import hashlib
import json

import numpy as np

Arrays = dict[str, np.ndarray]


def with_prefix(prefix: str, arrays: Arrays) -> Arrays:
    """Return the arrays named ``prefix.name``."""
    return {f"{prefix}.{name}": array for name, array in arrays.items()}


def strip_prefix(arrays: Arrays, prefix: str) -> Arrays:
    """Return the arrays named ``prefix.name`` by their ``name``; the reverse of with_prefix."""
    start = f"{prefix}."
    return {
        name.removeprefix(start): array for name, array in arrays.items() if name.startswith(start)
    }


def digest(arrays: Arrays) -> str:
    """Hash names, types, shapes and numbers."""
    result = hashlib.sha256()
    for name, array in sorted(arrays.items()):
        result.update(json.dumps([name, array.dtype.str, array.shape]).encode())
        result.update(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)
    return result.hexdigest()
