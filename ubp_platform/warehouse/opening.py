"""Opening a warehouse's file while other processes do, too.

DuckDB locks the file, but reads its header before: who opens it in the moment in which another one
closes it would see, and write, the state before the other's last batch. So a lock of ours is taken
first. DuckDB's own remains for programs that know only that.
"""

import time
import warnings
from pathlib import Path

import duckdb

from ubp_platform.errors import WarehouseBusy
from ubp_platform.files import make_directory
from ubp_platform.locks import FileLock
from ubp_platform.warehouse.database import open_database

_SECONDS_BETWEEN_TRIES = 0.1


def open_locked(
    path: Path, write: bool, wait: bool
) -> tuple[FileLock | None, duckdb.DuckDBPyConnection]:
    """Open a warehouse's file as :func:`~ubp_platform.warehouse.database.open_database` does.

    Parameters
    ----------
    path : Path
    write : bool
    wait : bool
        Wait for other processes whose use excludes this one; a warning says which.

    Returns
    -------
    lock : FileLock, optional
        To be released after the connection is closed.
    connection : DuckDBPyConnection
    """
    lock = _lock(path, write, wait)
    try:
        return lock, _open(path, write, wait)
    except BaseException:
        if lock:
            lock.release()
        raise


def _lock(path: Path, write: bool, wait: bool) -> FileLock | None:
    if write:
        make_directory(path.parent, private=path.parent)
    elif not path.exists():
        return None
    try:
        lock = FileLock(path.parent / ".locks" / path.name, shared=not write)
    except OSError:
        if write:
            raise
        return None  # where nothing can be written, nobody writes meanwhile
    if wait:
        lock.take(f"{path} is in use")
    elif not lock.try_to_take():
        holder = lock.holder
        lock.release()
        raise WarehouseBusy(
            f"{path} is in use by {holder}: wait until it has finished, then try again"
        )
    return lock


def _open(path: Path, write: bool, wait: bool) -> duckdb.DuckDBPyConnection:
    """Open the file, past programs that only DuckDB's own lock keeps away."""
    said = False
    while True:
        try:
            return open_database(path, write)
        except WarehouseBusy as busy:
            if not wait:
                raise
            if not said:
                warnings.warn(f"waiting: {str(busy).split(': wait until')[0]}", stacklevel=5)
            said = True
        time.sleep(_SECONDS_BETWEEN_TRIES)
