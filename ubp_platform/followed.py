"""Small files that are read again when they have been replaced."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Generic, TypeVar

Read = TypeVar("Read")


class FollowedFile(Generic[Read]):
    """What a small file holds; it is read again when it has been replaced.

    Parameters
    ----------
    path : Path
    read : callable
    """

    def __init__(self, path: Path, read: Callable[[], Read]) -> None:
        self._path, self._read = str(path), read
        self._known: tuple[object, Read] | None = None

    def value(self) -> Read:
        """Return what it holds now."""
        try:
            found = os.stat(self._path)  # noqa: PTH116 - with every request
            seen: object = (found.st_ino, found.st_mtime_ns, found.st_size)
        except FileNotFoundError:
            seen = None
        known = self._known
        if known is None or known[0] != seen:
            known = self._known = (seen, self._read())
        return known[1]
