"""How a delivery lies on disk: which of its files holds which table."""

import hashlib
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from ubp_platform.errors import UBPError
from ubp_platform.events.schema import TABLES

SUFFIXES = (".parquet", ".csv")
#: Clients whose profiles are wanted; lies beside the tables in the challenge and is none of them.
RELEVANT_CLIENTS = "relevant_clients.npy"
# The share of bad rows that a delivered file may have.
MAX_QUARANTINE = 0.05


class Layout(StrEnum):
    """The layouts that ``ubp ingest`` understands."""

    challenge = "challenge"
    completejourney = "completejourney"


def parse_layout(name: str) -> Layout:
    """Find a layout by its name.

    Raises
    ------
    UBPError
        If there is no such layout.
    """
    if name not in Layout.__members__:
        raise UBPError(f"no layout is called {name!r}; there are {', '.join(Layout.__members__)}")
    return Layout(name)


@dataclass(frozen=True)
class DeliveredFile:
    """A file of a delivery.

    Parameters
    ----------
    path : Path
    table : str
        Which table its rows are for.
    sha256 : str
        Of its content.
    """

    path: Path
    table: str
    sha256: str


def challenge_files(directory: Path) -> list[DeliveredFile]:
    """Find the files of a directory in the ``challenge`` layout (RecSys Challenge 2025).

    Parameters
    ----------
    directory : Path
        Holds any subset of the tables of :mod:`ubp_platform.events.schema`, each as one
        ``TABLE.parquet`` or ``TABLE.csv``.

    Returns
    -------
    list of DeliveredFile
        Product properties first, then the events.

    Raises
    ------
    UBPError
        If there is no such directory, no known file in it, or a table twice.
    """
    if not directory.exists():
        raise UBPError(f"no such path: {directory}")
    if not directory.is_dir():
        raise UBPError(f"{directory} is a file: give the directory that holds the event files")
    files = []
    for table in sorted(TABLES, key=lambda name: name != "product_properties"):
        paths = [path for path in _files(directory) if _table_of(path) == table]
        if len(paths) > 1:
            names = " and ".join(path.name for path in paths)
            raise UBPError(f"{directory} holds {table} twice, as {names}: remove one of them")
        files += [DeliveredFile(path, table, _sha256(path)) for path in paths]
    if not files:
        raise UBPError(
            f"no known file in {directory}: expected {', '.join(TABLES)}, as .parquet or .csv"
        )
    return files


def unknown_files(directory: Path) -> list[str]:
    """Name the files of a delivery that no table is read from, but for the relevant clients."""
    names = [path.name for path in _files(directory) if _table_of(path) is None]
    return [name for name in names if name != RELEVANT_CLIENTS]


def _files(directory: Path) -> list[Path]:
    return sorted(path for path in directory.iterdir() if path.is_file())


def _table_of(path: Path) -> str | None:
    return path.stem if path.stem in TABLES and path.suffix.lower() in SUFFIXES else None


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
