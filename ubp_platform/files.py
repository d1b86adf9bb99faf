"""Files that appear whole or not at all, and what is read from them."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from ubp_platform.errors import UBPError

Model = TypeVar("Model", bound=BaseModel)


@contextmanager
def appearing_file(path: Path) -> Iterator[Path]:
    """Give the path to write to; the file takes its place at the end, and is removed on failure.

    Yields
    ------
    Path
        Beside ``path``, where a reader sees the old file or the new one, never a part.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        yield temporary
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def read_whole(path: Path, model: type[Model], cure: str) -> Model:
    """Read a model that was written as JSON.

    Parameters
    ----------
    path : Path
    model : type
    cure : str
        What to do about a damaged file.

    Raises
    ------
    UBPError
        If the file is damaged.
    """
    try:
        return model.model_validate_json(path.read_bytes())
    except ValidationError:
        raise UBPError(f"{path} is damaged: {cure}") from None


def write_whole(path: Path, text: str) -> None:
    """Replace a file's text at once: a reader sees the old or the new, never a part."""
    with appearing_file(path) as temporary, temporary.open("w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
