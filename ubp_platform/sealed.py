"""Files that carry their own SHA-256, so that damage is noticed and not read.

The hash stands in the file as text, ``seal-sha256:…``, where the format has room for it: a field
of a JSON object, the metadata of safetensors and Parquet. It covers the whole file, its own digits
counted as zeros. A Parquet file has two: that of its rows stands in the footer, and that of the
footer as well, which alone is enough to trust what the footer says.

Files of earlier releases have none, and are read as they are.
"""

import hashlib
import re
import warnings
from collections.abc import Callable, Iterable
from functools import lru_cache
from pathlib import Path
from stat import S_ISDIR
from typing import Any, BinaryIO, TypeVar

from pydantic import BaseModel, ValidationError

from ubp_platform.errors import DamagedFile

Model = TypeVar("Model", bound=BaseModel)
Read = TypeVar("Read")

_ZEROS = b"0" * 64
#: The name of the field, and the value that :func:`sealed` replaces.
FIELD, UNSEALED = "checksum", f"seal-sha256:{_ZEROS.decode()}"
#: The same for the rows of a Parquet file.
ROWS_FIELD, ROWS_UNSEALED = "rows_checksum", f"rows-sha256:{_ZEROS.decode()}"

_SEAL = re.compile(rb"seal-sha256:([0-9a-f]{64})")
_ROWS_SEAL = re.compile(rb"rows-sha256:([0-9a-f]{64})")
_PARQUET = b"PAR1"
_CHUNK = 1 << 20


def sealed(content: bytes) -> bytes:
    """Return the content of a file with its checksum; :data:`UNSEALED` is in it."""
    at = content.index(UNSEALED.encode()) + len(UNSEALED) - len(_ZEROS)
    return content[:at] + _sha256(content) + content[at + len(_ZEROS) :]


def seal_parquet(path: Path) -> None:
    """Put the checksums into a Parquet file whose metadata has both fields."""
    with path.open("r+b") as file:
        start = _footer_start(file)
        rows = ROWS_UNSEALED.replace(_ZEROS.decode(), _rows_sha256(file, start).decode())
        footer = file.read().replace(ROWS_UNSEALED.encode(), rows.encode())
        file.seek(start)
        file.write(sealed(footer))


def sealed_json(model: BaseModel) -> str:
    """Return a model as JSON with a checksum."""
    text = model.model_dump_json(indent=2).removesuffix("\n}")
    return sealed(f'{text},\n  "{FIELD}": "{UNSEALED}"\n}}\n'.encode()).decode()


def read_json(path: Path, model: type[Model], cure: str) -> Model:
    """Read a model that was written as JSON.

    Parameters
    ----------
    path : Path
    model : type
    cure : str
        What to do about a damaged file.

    Raises
    ------
    DamagedFile
        If the file is missing or damaged.
    """
    return read(path, cure, lambda: model.model_validate_json(path.read_bytes()))


def read(path: Path, cure: str, function: Callable[[], Read], rows: bool = True) -> Read:
    """Check a file, and read it.

    Parameters
    ----------
    path : Path
    cure : str
        What to do about a damaged file.
    function : callable
        Reads the file.
    rows : bool
        Whether the rows of a Parquet file are checked, or its footer alone.

    Raises
    ------
    DamagedFile
        If the file is missing, its checksum is wrong, or ``function`` fails.
    """
    check(path, cure, rows)
    try:
        return function()
    except FileNotFoundError:
        raise DamagedFile(f"{path} is missing: {cure}") from None
    except (ValidationError, ValueError, KeyError, TypeError, EOFError, _safetensor_error()):
        raise DamagedFile(f"{path} is damaged: {cure}") from None


def sort_out(
    paths: Iterable[Path], read_one: Callable[[Path], Read]
) -> tuple[list[Read], list[DamagedFile]]:
    """Read what is whole, and say what is wrong with the rest.

    Parameters
    ----------
    paths : iterable of Path
    read_one : callable
        Raises DamagedFile.
    """
    found, damaged = [], []
    for path in paths:
        try:
            found.append(read_one(path))
        except DamagedFile as error:
            damaged.append(error)
    return found, damaged


def whole(sorted_out: tuple[list[Read], list[DamagedFile]]) -> list[Read]:
    """Return what is whole, and warn of the rest."""
    found, damaged = sorted_out
    for error in damaged:
        warnings.warn(str(error), stacklevel=3)
    return found


def check(path: Path, cure: str, rows: bool = True) -> None:
    """Check a file's checksum, once as long as the file stays the same.

    Raises
    ------
    DamagedFile
        If the file is missing or damaged.
    """
    try:
        now = path.stat()
    except FileNotFoundError:
        raise DamagedFile(f"{path} is missing: {cure}") from None
    if S_ISDIR(now.st_mode):
        raise DamagedFile(f"{path} is a directory, not a file: remove it; then {cure}")
    if not _is_whole(path, (now.st_dev, now.st_ino, now.st_size, now.st_mtime_ns), rows):
        raise DamagedFile(f"{path} is damaged: {cure}")


@lru_cache(maxsize=4096)
def _is_whole(path: Path, _state: tuple[int, ...], rows: bool) -> bool:
    with path.open("rb") as file:
        start = _footer_start(file)
        if start and rows:
            digest = _rows_sha256(file, start)
        file.seek(start)
        content = file.read()
    if path.suffix == ".parquet" and not start:
        return False
    own, of_rows = _SEAL.search(content), _ROWS_SEAL.search(content)
    if own and own[1] != _sha256(content[: own.start(1)] + _ZEROS + content[own.end(1) :]):
        return False
    return not (start and rows and of_rows and of_rows[1] != digest)


def _sha256(content: bytes) -> bytes:
    return hashlib.sha256(content).hexdigest().encode()


def _footer_start(file: BinaryIO) -> int:
    """Return the position of a Parquet file's footer; 0 in other files."""
    size = file.seek(0, 2)
    file.seek(max(0, size - 8))
    end = file.read()
    file.seek(0)
    if size < 12 or end[4:] != _PARQUET or file.read(4) != _PARQUET:
        return 0
    return max(0, size - 8 - int.from_bytes(end[:4], "little"))


def _rows_sha256(file: BinaryIO, start: int) -> bytes:
    """Hash what is before a position, and leave the file there."""
    digest = hashlib.sha256()
    file.seek(0)
    while left := start - file.tell():
        digest.update(file.read(min(left, _CHUNK)))
    return digest.hexdigest().encode()


def _safetensor_error() -> Any:
    from safetensors import SafetensorError

    return SafetensorError
