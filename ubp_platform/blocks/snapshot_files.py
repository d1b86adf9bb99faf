"""Snapshots on disk: where they come from, and whether they are whole."""

import re
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from ubp_platform import sealed
from ubp_platform.errors import DamagedFile
from ubp_platform.times import time_stem


@dataclass(frozen=True)
class Origin:
    """What a snapshot is made from: equal origins, equal snapshots.

    Parameters
    ----------
    history : str
        The identity of the encoded history.
    fits : str
        The hash of the fit, or of all fits of a profile. Empty in snapshots of earlier releases.
    """

    history: str = ""
    fits: str = ""


_NAMED_BY_TIME = re.compile(r"\d{8}T\d{6}")
#: The origin of snapshots that are never reused.
UNKNOWN = Origin()


@dataclass(frozen=True)
class SnapshotFile:
    """A snapshot on disk, described by its metadata."""

    path: Path
    cutoff: datetime
    clients: int
    width: int
    made_from: Origin


def snapshot_path(directory: Path, cutoff: datetime) -> Path:
    """Return the path of a snapshot, which need not exist."""
    return directory / f"{time_stem(cutoff)}.parquet"


def snapshot_files(directory: Path) -> list[SnapshotFile]:
    """Describe the snapshot files of a directory, oldest cutoff first."""
    return [describe_snapshot(path) for path in sorted(directory.glob("*.parquet"))]


def inspect_snapshots(directory: Path) -> tuple[list[SnapshotFile], list[DamagedFile]]:
    """Describe the snapshot files of a directory, and say what is wrong with damaged ones."""
    return sealed.sort_out(sorted(directory.glob("*.parquet")), describe_snapshot)


def describe_snapshot(path: Path) -> SnapshotFile:
    """Read a snapshot's metadata.

    Raises
    ------
    DamagedFile
        If the file is missing, or its footer damaged.
    """

    def read() -> SnapshotFile:
        footer = pq.read_metadata(path)
        metadata: dict[bytes, Any] = footer.metadata
        history, fits = metadata[b"identity"].decode(), metadata.get(b"fits", b"").decode()
        return SnapshotFile(
            path=path,
            cutoff=datetime.fromisoformat(metadata[b"cutoff"].decode()),
            clients=footer.num_rows,
            width=int(metadata[b"width"]),
            made_from=Origin(history, fits),
        )

    found = sealed.read(path, _cure(path), read, rows=False)
    if _NAMED_BY_TIME.match(path.stem) and path.stem != time_stem(found.cutoff):
        raise DamagedFile(f"{path} is of {found.cutoff:%Y-%m-%d %H:%M}: {_cure(path)}")
    return found


def check_snapshot(path: Path, fits: str = "") -> SnapshotFile:
    """Check that a snapshot is as it was written.

    Parameters
    ----------
    path : Path
    fits : str
        What it must be made from, as in :class:`Origin`; empty if that is not known.

    Raises
    ------
    DamagedFile
        If it is not.
    """
    found = describe_snapshot(path)
    require_fits(found, fits)
    sealed.check(path, _cure(path))
    return found


def require_fits(snapshot: SnapshotFile, fits: str) -> None:
    """Raise DamagedFile if a snapshot is made from other fits; those of earlier releases pass."""
    if fits and snapshot.made_from.fits not in ("", fits):
        raise DamagedFile(f"{snapshot.path} is made from other fits: {_cure(snapshot.path)}")


def is_current(path: Path, made_from: Origin) -> bool:
    """Whether a whole snapshot is there that was made from this."""
    try:
        check_snapshot(path)
    except DamagedFile:
        return False
    return describe_snapshot(path).made_from == made_from


def _cure(path: Path) -> str:
    version = path.parent.name
    option = f" --profile-version {version}" if path.parent.parent.name == "profiles" else ""
    return f"`ubp encode --cutoff {path.stem}{option}` writes it again"
