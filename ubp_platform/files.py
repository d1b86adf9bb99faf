"""Writing files atomically, and reading models back from them."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from ubp_platform.errors import UBPError

Model = TypeVar("Model", bound=BaseModel)


@contextmanager
def atomic_file(path: Path) -> Iterator[Path]:
    """Yield a path to write to; the file is renamed into place at the end, or removed on failure.

    Yields
    ------
    Path
        Beside ``path``; a reader of that sees the old file or the new one, never a part.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        yield temporary
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def read_model(path: Path, model: type[Model], remedy: str) -> Model:
    """Read a model that was written as JSON.

    Parameters
    ----------
    path : Path
    model : type
    remedy : str
        What to do about a damaged file.

    Raises
    ------
    UBPError
        If the file is damaged.
    """
    try:
        return model.model_validate_json(path.read_bytes())
    except ValidationError:
        raise UBPError(f"{path} is damaged: {remedy}") from None


def write_text(path: Path, text: str) -> None:
    """Replace a file's text atomically."""
    with atomic_file(path) as temporary, temporary.open("w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
