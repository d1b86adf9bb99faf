"""A frozen copy of the warehouse: what takes long reads it, and deliveries land meanwhile.

DuckDB lets many processes read a file or one write it. A fit that kept the warehouse open would
lock every delivery out for as long as it takes.
"""

import os
import subprocess
import warnings
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from ubp_platform.errors import DamagedFile, UBPError, first_line
from ubp_platform.files import fingerprint, temporary_directory
from ubp_platform.home import Home
from ubp_platform.warehouse.warehouse import Warehouse


@dataclass(frozen=True)
class FrozenHome(Home):
    """A home whose warehouse is a copy; all else is where it was.

    Parameters
    ----------
    copy : Path
        The DuckDB file.
    state : tuple
        What identifies the contents that were copied.
    """

    copy: Path
    state: tuple[object, ...]

    @property
    def warehouse(self) -> Path:
        """The copy of the DuckDB file."""
        return self.copy


@contextmanager
def frozen(home: Home) -> Iterator[FrozenHome]:
    """Copy a home's warehouse as it is now, waiting for a process that writes it.

    Parameters
    ----------
    home : Home
        One that is frozen already is not copied again.

    Yields
    ------
    FrozenHome
        The same home with the copy as its warehouse; the copy is removed at the end.

    Raises
    ------
    WarehouseMissing
        If nothing has been ingested yet.
    """
    if isinstance(home, FrozenHome):
        yield home
        return
    with ExitStack() as stack:
        with Warehouse(home.warehouse, wait=True):
            directory = stack.enter_context(temporary_directory(home.scratch))
            copied = _state(home.warehouse)
            _copy(home.warehouse, directory)
        copy = directory / home.warehouse.name
        try:
            yield FrozenHome(home.root, copy, copied)
        except DamagedFile as error:
            raise DamagedFile(str(error).replace(str(copy), str(home.warehouse))) from None


def _files(database: Path) -> list[Path]:
    """Return the file of a database, and its log if a killed process left one."""
    log = database.with_name(f"{database.name}.wal")
    return [path for path in (database, log) if path.exists()]


def _state(database: Path) -> tuple[object, ...]:
    """Return what identifies a database's contents, without opening it."""
    return tuple(map(fingerprint, _files(database)))


def _copy(database: Path, directory: Path) -> None:
    """Copy a database that no process writes.

    By another process: when this one closes a file, it loses all locks that it has on it, DuckDB's
    too. ``cp`` shares the blocks where the file system can.
    """
    done = subprocess.run(  # noqa: S603
        ["cp", "--", *_files(database), directory],  # noqa: S607
        env={**os.environ, "LC_ALL": "C"},
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise UBPError(f"{database} cannot be copied: {first_line(done.stderr)}")


def warn_of_changes(home: FrozenHome, cutoffs: Iterable[datetime], again: str) -> None:
    """Warn if the warehouse is no longer what was copied; a busy one is not compared.

    Parameters
    ----------
    home : FrozenHome
    cutoffs : iterable of datetime
        Only what comes before one of them counts.
    again : str
        The command that takes the new events in.
    """
    warehouse = Home(home.root).warehouse
    if _state(warehouse) == home.state:
        return
    # The result is complete; whatever is wrong by now, the next command says.
    with (
        suppress(UBPError),
        Warehouse(home.copy) as copy,
        Warehouse(warehouse) as now,
    ):
        for cutoff in cutoffs:
            if now.identity(cutoff) != copy.identity(cutoff):
                warnings.warn(
                    f"the events before {cutoff:%Y-%m-%d %H:%M} or the relevant clients have "
                    f"changed since this began, and it is of then: run `{again}` again",
                    stacklevel=3,
                )
                return
