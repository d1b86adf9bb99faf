"""A part of a home, sent to workers that do not see its directory."""

import atexit
import os
from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from tempfile import gettempdir
from typing import Self

from ubp_platform.errors import UBPError
from ubp_platform.files import make_directory, temporary_directory
from ubp_platform.home import Home

_open = ExitStack()
atexit.register(_open.close)


@dataclass(frozen=True)
class Parcel:
    """Files of a home with their contents.

    Parameters
    ----------
    files : dict of str to bytes
        By path, relative to the home.
    """

    files: dict[str, bytes] = field(repr=False)

    @classmethod
    def of(cls, home: Home, directories: Iterable[Path]) -> Self:
        """Read all files in some directories of a home."""
        files = [file for path in directories for file in path.iterdir() if file.is_file()]
        return cls({str(file.relative_to(home.root)): file.read_bytes() for file in files})

    @cached_property
    def home(self) -> Home:
        """A home of these files alone, in a temporary directory of this process."""
        root = private_directory()
        for name, content in self.files.items():
            path = root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        return Home(root)


def private_directory() -> Path:
    """Make a directory that goes with this process, or soon after a ``kill -9``.

    Raises
    ------
    UBPError
        If somebody else has made the directory that it belongs into.
    """
    return _open.enter_context(temporary_directory(private_parent()))


def private_parent() -> Path:
    """Return the directory of all temporary ones of this user; UBPError as above."""
    parent = Path(gettempdir()) / f"ubp-{os.getuid()}"
    make_directory(parent, private=parent)
    if parent.is_symlink() or parent.stat().st_uid != os.getuid():
        raise UBPError(f"{parent} belongs to somebody else: set TMPDIR to another directory")
    return parent
