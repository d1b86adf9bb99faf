"""Limits of files from outside, checked before a file is read.

A small file may hold so many columns or rows, or so long a line, that reading it takes hours.
"""

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from ubp_platform.errors import LimitExceeded
from ubp_platform.settings import FILE, Settings

_COMPRESSION = {".gz": "gzip", ".zst": "zstd"}


def require_columns(path: Path, columns: Sequence[object] | int) -> None:
    """Refuse a file with too many columns.

    Parameters
    ----------
    path : Path
        For the message.
    columns : sequence or int
        The columns, or their number.

    Raises
    ------
    LimitExceeded
        The same for the functions below.
    """
    number = columns if isinstance(columns, int) else len(columns)
    if number > (limit := Settings.load().max_columns):
        raise _exceeded(f"{path.name} has {number:,} columns", limit, "max_columns")


def require_parquet(path: Path) -> None:
    """Refuse a Parquet file with too many columns or rows, by its footer; others pass."""
    # What is not Parquet is reported by whoever reads the file.
    with suppress(pa.ArrowException, OSError):
        footer = pq.read_metadata(path)
        require_columns(path, footer.num_columns)
        require_rows(path, footer.num_rows)


def require_rows(path: Path, number: int) -> None:
    """Refuse a file with too many rows."""
    if number > (limit := Settings.load().max_rows):
        raise _exceeded(f"{path.name} has {number:,} rows", limit, "max_rows")


def require_lines(path: Path, first: int | None = None) -> None:
    """Refuse a text file, compressed or not, with too long a line or too many lines.

    Parameters
    ----------
    path : Path
    first : int, optional
        Look at that many lines only.
    """
    settings = Settings.load()
    longest = settings.max_row_bytes
    line, length = 1, 0  # of the line that goes on in the next chunk
    # A broken archive is reported by whoever reads the file.
    with suppress(pa.ArrowException, OSError), _opened(path) as file:
        while (first is None or line <= first) and (chunk := file.read(longest)):
            # Lines within a chunk are shorter than it.
            end = min(at for at in (chunk.find(b"\n"), chunk.find(b"\r"), len(chunk)) if at >= 0)
            length += end
            if length > longest:
                found = f"line {line:,} of {path.name} has at least {length:,} bytes"
                raise _exceeded(found, longest, "max_row_bytes")
            if end < len(chunk):
                length = len(chunk) - 1 - max(chunk.rfind(b"\n"), chunk.rfind(b"\r"))
            line += chunk.count(b"\n")
            if line - 1 > settings.max_rows:
                raise _exceeded(
                    f"{path.name} has {line - 1:,} lines", settings.max_rows, "max_rows"
                )


def _opened(path: Path) -> pa.NativeFile:
    return pa.input_stream(path, compression=_COMPRESSION.get(path.suffix.lower()))


def _exceeded(found: str, limit: int, setting: str) -> LimitExceeded:
    return LimitExceeded(
        f"{found}, more than the limit of {limit:,}: if that is right, set "
        f"UBP_{setting.upper()} (or {setting} in {FILE}) to more"
    )
