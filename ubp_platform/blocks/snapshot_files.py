"""Snapshots on disk: where they come from, and whether they are whole.

What is known of the time before a cutoff grows with late events. A profile's snapshot is then made
again as a further revision, and the ones before stay: ``20171218T000000Z.parquet``, then
``20171218T000000Z-2.parquet``, ….
"""

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


_NAME = re.compile(r"(\d{8}T[\d.]+Z)(?:-(\d+))?")
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
    #: When it was made; None in files of earlier releases.
    created: datetime | None
    revision: int = 1
    #: Whether it holds only clients whose profile was due; the others have older ones, maybe in an
    #: earlier revision of the same cutoff.
    partial: bool = False


def snapshot_path(directory: Path, cutoff: datetime, revision: int = 1) -> Path:
    """Return the path of a snapshot, which need not exist."""
    suffix = f"-{revision}" if revision > 1 else ""
    return directory / f"{time_stem(cutoff)}{suffix}.parquet"


def snapshot_files(directory: Path, cutoff: datetime | None = None) -> list[SnapshotFile]:
    """Describe the snapshots that have clients' newest profiles, oldest first.

    Of each cutoff, or of the given one, the newest revision; and where that is partial, those
    before it as far back as one of all clients.
    """
    found: dict[datetime, list[SnapshotFile]] = {}
    for path in revision_paths(directory, cutoff):
        file = describe_snapshot(path)
        before = found.get(file.cutoff, []) if file.partial else []
        found[file.cutoff] = [*before, file]
    return [file for files in found.values() for file in files]


def revision_paths(directory: Path, cutoff: datetime | None = None) -> list[Path]:
    """Return the files of all revisions, of one cutoff or of all, oldest first."""
    # Without the Z, that a part of a second comes after the second.
    found = sorted(
        directory.glob("*.parquet"), key=lambda path: (_order(path)[0].rstrip("Z"), _order(path)[1])
    )
    return [path for path in found if cutoff is None or _order(path)[0] == time_stem(cutoff)]


def next_revision(newest: Path) -> Path:
    """Return the path of the revision after the newest one, which is replaced if it is damaged."""
    try:
        check_snapshot(newest)
    except DamagedFile:
        return newest
    stem, revision = _order(newest)
    return newest.with_name(f"{stem}-{revision + 1}{newest.suffix}")


def _order(path: Path) -> tuple[str, int]:
    """Return the time and the revision in a snapshot's name."""
    found = _NAME.fullmatch(path.stem)
    return (found[1], int(found[2] or 1)) if found else (path.stem, 1)


def inspect_snapshots(directory: Path) -> tuple[list[SnapshotFile], list[DamagedFile]]:
    """Describe all snapshot files of a directory, and say what is wrong with damaged ones."""
    return sealed.sort_out(revision_paths(directory), describe_snapshot)


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
        created = metadata.get(b"created")
        return SnapshotFile(
            path=path,
            cutoff=datetime.fromisoformat(metadata[b"cutoff"].decode()),
            clients=footer.num_rows,
            width=int(metadata[b"width"]),
            made_from=Origin(history, fits),
            created=datetime.fromisoformat(created.decode()) if created else None,
            revision=_order(path)[1],
            partial=b"partial" in metadata,
        )

    found = sealed.read(path, _cure(path), read, rows=False)
    if _NAME.fullmatch(path.stem) and _order(path)[0] != time_stem(found.cutoff):
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
    """Whether a whole snapshot is there, all of which was made from this."""
    try:
        found = check_snapshot(path)
    except DamagedFile:
        return False
    return found.made_from == made_from and not found.partial


def _cure(path: Path) -> str:
    stem, revision = _order(path)
    following = path.with_name(f"{stem}-{revision + 1}{path.suffix}")
    if following.exists() and b"partial" not in (pq.read_metadata(following).metadata or {}):
        return f"restore it from a backup, or remove {path}, which is only what was served once"
    version = path.parent.name
    option = f" --profile-version {version}" if path.parent.parent.name == "profiles" else ""
    return f"`ubp encode --cutoff {stem}{option}` writes it again"
