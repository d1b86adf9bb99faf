"""One process at a time fits, encodes or publishes in a home; others wait, and say for whom.

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
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from ubp_platform.home import Home

#: In the order in which one process may take them, so that no two wait for each other.
LOCKS = ("fit", "encode", "publish")
_TEXT_BYTES = 500
# What this thread holds: taking a lock again within itself does not wait.
_thread = threading.local()


@contextmanager
def exclusive(home: Home, name: str) -> Iterator[None]:
    """Be the only process that does something in a home; wait until it is, with a warning.

    Parameters
    ----------
    home : Home
        Without its directory there is nothing to lock.
    name : {"fit", "encode", "publish"}

    Raises
    ------
    RuntimeError
        If a later one of :data:`LOCKS` is held already.
    """
    held: list[Path] = vars(_thread).setdefault("held", [])
    path = home.root / ".locks" / name
    if path in held or not home.root.is_dir():
        yield
        return
    if any(path.with_name(later) in held for later in LOCKS[LOCKS.index(name) :]):
        raise RuntimeError(f"the lock {name!r} is to be taken before any later one of {LOCKS}")
    path.parent.mkdir(exist_ok=True)
    descriptor = os.open(path, os.O_CREAT | os.O_RDWR, 0o666)
    try:
        _lock(descriptor, name)
        os.pwrite(descriptor, _this_process().encode()[:_TEXT_BYTES], 0)
        held.append(path)
        try:
            yield
        finally:
            held.remove(path)
            os.ftruncate(descriptor, 0)
    finally:
        os.close(descriptor)


def _lock(descriptor: int, name: str) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return
    except BlockingIOError:
        text = os.pread(descriptor, _TEXT_BYTES, 0).decode(errors="replace")
        # Empty where the holder has not written it yet.
        holder = text or "another process"
        warnings.warn(
            f"waiting for {holder}: one process at a time may {name} in a home", stacklevel=5
        )
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    os.ftruncate(descriptor, 0)  # a killed holder's text


def _this_process() -> str:
    """Describe this process in a line for those who wait for it."""
    program, *arguments = sys.argv
    name = Path(program).stem
    command = f"ubp {arguments[0]}" if name in ("cli", "ubp") and arguments else name
    return (
        f"`{command}`, at work since {datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC "
        f"(process {os.getpid()} on {socket.gethostname()})"
    )
