"""Where a lake lies: a directory, or a prefix in an object store."""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path, PurePosixPath
from typing import Any

import fsspec
from fsspec.implementations.local import LocalFileSystem

from ubp_platform.engine.parcel import private_parent
from ubp_platform.errors import StoreUnavailable, UBPError, first_line
from ubp_platform.files import atomic_file, debris, discard, make_directory, temporary_directory


def normal(url: str) -> str:
    """Return an address as a :class:`Place` has it: a path is absolute."""
    return url if "://" in url else str(Path(url).expanduser().resolve())


class Place:
    """A directory that several machines see, or a prefix in an object store.

    Parameters
    ----------
    url : str
        A path, or what ``fsspec`` understands: ``s3://bucket/prefix``, ``gs://…``.

    Raises
    ------
    UBPError
        If the address is none, or its package is not installed.

    Examples
    --------
    >>> Place("/srv/lake").is_local, str(Place("/srv/lake"))
    (True, '/srv/lake')
    """

    def __init__(self, url: str) -> None:
        if not url.strip():
            raise UBPError("UBP_LAKE is empty: it is a directory or an address")
        url = normal(url)
        if not url.isprintable() or url == "/":
            raise UBPError(f"UBP_LAKE is a directory or an address, not {url!r}")
        if re.search("://[^/]*@", url):
            raise UBPError(
                "UBP_LAKE is an address without a name and password: credentials are set as for "
                "any client of that store"
            )
        if url.startswith("memory:"):
            raise UBPError("a lake in memory:// would be of this process alone: name a directory")
        self.url = url
        try:
            # Another machine may have written since the last look.
            options = {} if "://" not in url else {"use_listings_cache": False}
            self._files, self._root = fsspec.core.url_to_fs(url, **options)
        except (ImportError, ValueError) as error:
            scheme = url.partition("://")[0]
            raise UBPError(
                f"the lake at {scheme}:// cannot be opened: {first_line(error)}. For s3:// the "
                "package is s3fs, an extra: pip install 'ubp-platform[s3]'"
            ) from None

    def __str__(self) -> str:
        return self.url

    @property
    def is_used(self) -> bool:
        """Whether there are files, hidden ones included."""
        if self.is_local:
            return any(path.is_file() for path in Path(self._root).rglob("*"))
        return bool(self.names())

    @property
    def is_local(self) -> bool:
        """Whether it is a directory of this machine's file system, shared or not."""
        return isinstance(self._files, LocalFileSystem)

    def _path(self, name: str) -> str:
        return f"{self._root}/{name}"

    @contextmanager
    def writing(self, name: str) -> Iterator[Path]:
        """Yield a path to write to; the file appears complete at the end, or not at all."""
        if self.is_local:
            path = Path(self._path(name))
            make_directory(path.parent)
            with atomic_file(path) as temporary:
                yield temporary
            return
        with temporary_directory(private_parent()) as directory:
            path = directory / PurePosixPath(name).name
            yield path
            with self._errors_in_one_line():
                self._files.put_file(str(path), self._path(name))

    @contextmanager
    def reading(self, name: str) -> Iterator[Path]:
        """Yield a path to read from: the file itself, or a copy that is gone at the end.

        Raises
        ------
        FileNotFoundError
            If there is no such file.
        StoreUnavailable
            If the object store does not answer.
        """
        if self.is_local:
            yield Path(self._path(name))
            return
        with temporary_directory(private_parent()) as directory:
            path = directory / PurePosixPath(name).name
            with self._errors_in_one_line(absent=True):
                self._files.get_file(self._path(name), str(path))
            yield path

    def names(self) -> list[str]:
        """List all files, relative to the place."""
        try:
            with self._errors_in_one_line(absent=True):
                found: Any = self._files.find(self._root)
        except FileNotFoundError:
            return []
        return sorted(os.path.relpath(one, self._root) for one in found)

    def clear_debris(self) -> None:
        """Remove what killed processes have left of files that they were writing."""
        for path in debris(Path(self._root)) if self.is_local else ():
            discard(path)

    def remove(self, names: list[str]) -> None:
        """Remove files, and directories that are empty then."""
        if names:
            with self._errors_in_one_line():
                self._files.rm([self._path(name) for name in names])
        for directory in {Path(self._path(name)).parent for name in names} if self.is_local else ():
            with suppress(OSError):  # others are in it
                directory.rmdir()

    @contextmanager
    def _errors_in_one_line(self, absent: bool = False) -> Iterator[None]:
        """Turn errors of an object store into one line; ``absent`` lets a missing file be one."""
        try:
            yield
        except Exception as error:
            if self.is_local or (absent and isinstance(error, FileNotFoundError)):
                raise
            # Each object store has its own client with errors of its own.
            raise StoreUnavailable(
                f"the lake at {self.url} does not answer: {first_line(error)}; is the address "
                "right, and are its credentials set here and on every worker?"
            ) from None
