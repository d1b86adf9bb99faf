"""Who may do what at a time in a home: locks that make others wait, and name who holds them.

A lock is that of a file in ``HOME/.locks`` (``flock``). It ends with the process that holds it,
however that ends. The text in the file names the holder, for the message alone.
"""

import fcntl
import os
import socket
import sys
import threading
import warnings
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

from ubp_platform.files import make_directory, restrict
from ubp_platform.home import Home

#: In the order in which one process may take them, so that no two wait for each other.
LOCKS = ("evaluate", "fit", "encode", "publish", "keys")
# Nothing is encoded while profiles are published, which takes both locks.
_ALONE = {
    "evaluate": "nothing is removed that an evaluation reads",
    "fit": "in a home one process fits at a time",
    "encode": "in a home one process encodes or publishes at a time",
    "publish": "in a home one process publishes at a time",
    "keys": "keys are made one after the other",
}
_TEXT_BYTES = 500
# What this thread holds: taking a lock again within itself does not wait.
_thread = threading.local()


class FileLock:
    """The lock of a file; it is free again once this object is released or gone.

    Parameters
    ----------
    path : Path
        Created if it is missing, with its directory.
    shared : bool
        Whether others may hold it at the same time, shared as well.
    """

    def __init__(self, path: Path, shared: bool = False) -> None:
        make_directory(path.parent)
        descriptor = os.open(path, os.O_CREAT | os.O_RDWR, 0o666)
        restrict(path)
        self._file = os.fdopen(descriptor, "r+b", buffering=0)
        self._shared = shared

    def try_to_take(self) -> bool:
        """Take it unless it is taken."""
        try:
            self._take(fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def take(self, why: str) -> None:
        """Take it; if it is taken, say for whom it waits and ``why``, and wait."""
        if not self.try_to_take():
            warnings.warn(f"waiting for {self.holder}: {why}", stacklevel=5)
            self._take()

    def _take(self, options: int = 0) -> None:
        fcntl.flock(self._file, options | (fcntl.LOCK_SH if self._shared else fcntl.LOCK_EX))
        self._file.truncate(0)  # an earlier holder's text
        if not self._shared:
            self._file.seek(0)
            self._file.write(_this_process().encode()[:_TEXT_BYTES])

    @property
    def holder(self) -> str:
        """Who has it, in words; those who share it are not named."""
        return os.pread(self._file.fileno(), _TEXT_BYTES, 0).decode(errors="replace") or "others"

    def release(self) -> None:
        """Free it."""
        self._file.close()


def exclusive(home: Home, name: str) -> AbstractContextManager[None]:
    """Be the only process that does something in a home; wait until it is, with a warning.

    Parameters
    ----------
    home : Home
        Without its directory there is nothing to lock.
    name : str
        One of :data:`LOCKS`.

    Raises
    ------
    RuntimeError
        If a later one of :data:`LOCKS` is held already.
    """
    return _held(home, name, shared=False)


@contextmanager
def alone(home: Home) -> Iterator[None]:
    """Wait until nothing is evaluated, fitted, encoded or published, and keep it so.

    Raises
    ------
    UBPError
        If there is no home.
    """
    home.require()
    with ExitStack() as stack:
        for name in LOCKS:
            stack.enter_context(exclusive(home, name))
        yield


def shared(home: Home, name: str) -> AbstractContextManager[None]:
    """Do something that others may do as well, unless one does it exclusively; see there."""
    return _held(home, name, shared=True)


@contextmanager
def _held(home: Home, name: str, shared: bool) -> Iterator[None]:
    held: list[Path] = vars(_thread).setdefault("held", [])
    path = home.root / ".locks" / name
    if path in held or not home.root.is_dir():
        yield
        return
    if any(path.with_name(later) in held for later in LOCKS[LOCKS.index(name) :]):
        raise RuntimeError(f"the lock {name!r} is to be taken before any later one of {LOCKS}")
    lock = FileLock(path, shared)
    try:
        lock.take(_ALONE[name])
        held.append(path)
        yield
    finally:
        with suppress(ValueError):  # interrupted while it waited
            held.remove(path)
        lock.release()


def _this_process() -> str:
    """Describe this process in a line for those who wait for it."""
    program, *arguments = sys.argv
    name = Path(program).stem
    command = f"ubp {arguments[0]}" if name in ("cli", "ubp") and arguments else name
    return (
        f"`{command}`, at work since {datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC "
        f"(process {os.getpid()} on {socket.gethostname()})"
    )
