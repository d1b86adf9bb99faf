"""Writing files and directories so that they appear complete or not at all, and stay.

Everything is written aside under a random name, locked while it is being written, flushed to disk,
and renamed into place. What a killed process left behind is recognised by its lock, which is gone,
and removed by the next write to the same directory.

What is new gets the permissions of the directory that it is created in, limited by the umask. A
home's root is readable by its owner only, and with it all that is created below.
"""

import errno
import fcntl
import os
import secrets
import shutil
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_SUFFIX = ".part"
# The names of _name_beside, and no others: the directory may be a user's own.
_UNFINISHED = f".*.{'[0-9a-f]' * 16}{_SUFFIX}"
# Between its creation and its lock a file looks as if a killed process had left it.
_SECONDS_TO_LOCK = 5.0


@contextmanager
def atomic_file(path: Path, replace: bool = True) -> Iterator[Path]:
    """Yield a path to write to; the file is renamed into place at the end, or removed on failure.

    Parameters
    ----------
    path : Path
    replace : bool
        False keeps a file that exists by then: of several writers the first one wins.

    Yields
    ------
    Path
        Beside ``path``; a reader of that sees the old file or the new one, never a part.
    """
    temporary = _name_beside(path)
    flags = os.O_CREAT | os.O_EXCL | os.O_RDWR
    descriptor = os.open(temporary, flags, _inherited(path.parent, 0o666))
    try:
        with _locked(descriptor):
            yield temporary
            restrict(temporary)  # some libraries write a file of their own over it
            with suppress(FileNotFoundError):  # a file that a group may write stays so
                temporary.chmod(path.stat().st_mode & _inherited(path.parent, 0o777))
            sync(temporary)
            if replace:
                temporary.replace(path)
            else:
                with suppress(FileExistsError):
                    path.hardlink_to(temporary)
        sync(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


def new_directory(parent: Path, write: Callable[[Path], None], name: Callable[[], str]) -> Path:
    """Write a directory that never existed before.

    Parameters
    ----------
    parent : Path
        Created if it is missing.
    write : callable
        Called with the directory to write into.
    name : callable
        Returns the name for the complete directory; called again if it has been taken meanwhile.

    Returns
    -------
    Path
        The complete directory.
    """
    with temporary_directory(parent) as temporary:
        write(temporary)
        sync_tree(temporary)
        path = _rename_to_free_name(temporary, parent, name)
    sync(parent)
    return path


@contextmanager
def temporary_directory(parent: Path) -> Iterator[Path]:
    """Yield a directory that is removed at the end; after a ``kill -9`` the next one removes it.

    Parameters
    ----------
    parent : Path
        Created if it is missing.
    """
    make_directory(parent)
    temporary = _name_beside(parent / "new")
    temporary.mkdir(_inherited(parent, 0o777))
    descriptor = os.open(temporary, os.O_RDONLY)
    try:
        with _locked(descriptor):
            yield temporary
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _rename_to_free_name(temporary: Path, parent: Path, name: Callable[[], str]) -> Path:
    while True:
        try:
            return temporary.rename(parent / name())
        except OSError as error:
            # Another process took this name.
            if error.errno not in (errno.EEXIST, errno.ENOTEMPTY):
                raise


def make_directory(path: Path, private: Path | None = None) -> None:
    """Create a directory and its missing parents, each with the permissions of the one above.

    Parameters
    ----------
    path : Path
    private : Path, optional
        ``path`` or a directory above; if it is created, only its owner may enter it.
    """
    if path.is_dir():
        return
    make_directory(path.parent, private)
    path.mkdir(0o700 if path == private else _inherited(path.parent, 0o777), exist_ok=True)


def restrict(path: Path) -> None:
    """Take from what a library created the permissions that its directory does not have."""
    path.chmod(path.stat().st_mode & _inherited(path.parent, 0o777))


def _inherited(directory: Path, mode: int) -> int:
    return (directory.stat().st_mode | 0o700) & mode


def write_text(path: Path, text: str) -> None:
    """Replace a file's text atomically."""
    with atomic_file(path) as temporary:
        temporary.write_text(text, "utf-8")


def sync(path: Path) -> None:
    """Flush a file, or the names in a directory, to disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_tree(directory: Path) -> None:
    """Flush what was written below a directory to disk, and give it that one's permissions."""
    for written in directory.rglob("*"):
        restrict(written)
        sync(written)
    sync(directory)


def move_into(directory: Path, entries: Iterable[Path]) -> None:
    """Move complete files and directories into an existing directory, the last one at the end."""
    for path in entries:
        path.rename(directory / path.name)
    sync(directory)


def _name_beside(path: Path) -> Path:
    """Return a new name in the same directory, and remove what killed processes left there."""
    for left in path.parent.glob(_UNFINISHED):
        _remove_abandoned(left)
    return path.with_name(f".{path.name}.{secrets.token_hex(8)}{_SUFFIX}")


def _remove_abandoned(path: Path) -> None:
    if _is_abandoned(path):
        shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink(missing_ok=True)


def _is_abandoned(path: Path) -> bool:
    try:
        is_old = time.time() - path.stat().st_ctime > _SECONDS_TO_LOCK
    except FileNotFoundError:
        return False
    return is_old and not _is_locked(path)


def _is_locked(path: Path) -> bool:
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    else:
        return False
    finally:
        os.close(descriptor)


@contextmanager
def _locked(descriptor: int) -> Iterator[None]:
    """Hold a lock until the descriptor is closed, at the latest when the process ends."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def debris(root: Path) -> list[Path]:
    """Find what killed processes left anywhere below a directory."""
    found = [path for path in root.rglob(_UNFINISHED) if _is_abandoned(path)]
    # What lies inside others goes with them.
    return [path for path in found if not any(parent in found for parent in path.parents)]


def clear_debris(root: Path) -> list[Path]:
    """Remove what killed processes left below a directory; return what running ones are writing."""
    while True:
        for path in debris(root):
            discard(path)
        found = list(root.rglob(_UNFINISHED))
        in_use = [path for path in found if _is_locked(path)]
        if len(in_use) == len(found):
            return in_use
        time.sleep(0.2)  # until what was left a moment ago is known for certain to be left


def discard(path: Path) -> None:
    """Remove a file or a directory; a directory disappears at once."""
    if path.is_dir():
        going = path.with_name(f".{path.name}.{secrets.token_hex(8)}{_SUFFIX}")
        path.rename(going)
        shutil.rmtree(going)
    else:
        path.unlink(missing_ok=True)


def fingerprint(path: Path) -> tuple[int, ...] | None:
    """Return what identifies a file's contents without reading them; None if it is gone."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns


def size(path: Path) -> int:
    """Return the bytes of a file, or of all files in a directory."""
    files = [path, *path.rglob("*")] if path.is_dir() else [path]
    return sum(file.stat().st_size for file in files if file.is_file())
