"""FittedBlock blocks and their snapshots on disk: ``blocks/NAME/VERSION`` and ``snapshots/…``.

A version appears complete, as a directory that is renamed into place, and never changes.
"""

import json
import re
from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from ubp_platform.blocks.base import Block
from ubp_platform.blocks.fit_report import FitReport
from ubp_platform.blocks.registry import block_class
from ubp_platform.errors import UBPError
from ubp_platform.files import new_directory
from ubp_platform.home import Home
from ubp_platform.times import time_stem


@dataclass(frozen=True)
class FittedBlock:
    """A fitted block on disk, described without loading its weights.

    Parameters
    ----------
    name, version : str
    directory : Path
    report : FitReport
    identity : str
        Identifies history and parameters: equal identities, equal fits.
    """

    name: str
    version: str
    directory: Path
    report: FitReport
    identity: str

    def check(self) -> None:
        """Check that what the block needs besides events is available; loads no weights."""
        block_class(self.name).describe(self.directory).check()

    def load(self) -> Block:
        """Load the block."""
        return block_class(self.name).load(self.directory)


@dataclass(frozen=True)
class SnapshotFile:
    """A snapshot on disk, described by its metadata."""

    path: Path
    cutoff: datetime
    clients: int
    width: int
    identity: str


class Catalog:
    """All fitted blocks of a home."""

    def __init__(self, home: Home) -> None:
        self._home = home

    def versions(self, name: str) -> list[FittedBlock]:
        """List the fitted versions of a block, oldest first."""
        return [self._describe(path) for path in version_directories(self._home.blocks / name)]

    def newest(self, name: str) -> FittedBlock | None:
        """Return the version with the latest cutoff; of several, the last one fitted."""
        # `max` returns the first of equals.
        fits = reversed(self.versions(name))
        return max(fits, key=lambda fit: fit.report.cutoff, default=None)

    def complete_fit(self, name: str, identity: str) -> FittedBlock | None:
        """Return the newest complete fit of this identity, if there is one."""
        for fitted in reversed(self.versions(name)):
            if fitted.identity == identity and fitted.report.complete:
                return fitted
        return None

    def get(self, name: str, version: str) -> FittedBlock:
        """Return one version; UBPError if its directory is missing."""
        directory = self._home.blocks / name / version
        if not (directory / "block.json").exists():
            raise UBPError(f"{directory} is missing: run `ubp train {name}` again")
        return self._describe(directory)

    def _describe(self, directory: Path) -> FittedBlock:
        report = FitReport(**json.loads((directory / "block.json").read_text())["report"])
        identity = (directory / "identity").read_text()
        return FittedBlock(directory.parent.name, directory.name, directory, report, identity)

    def add(self, block: Block, identity: str) -> FittedBlock:
        """Save a fitted block as the next version."""

        def write(directory: Path) -> None:
            block.save(directory)
            (directory / "identity").write_text(identity)

        return self._describe(new_version(self._home.blocks / block.name, write))

    def snapshot_path(self, name: str, version: str, cutoff: datetime) -> Path:
        """Return the path of a snapshot, which need not exist."""
        return self._home.snapshots / name / version / f"{time_stem(cutoff)}.parquet"

    def snapshots(self, name: str, version: str) -> list[SnapshotFile]:
        """List the snapshots of one version, oldest cutoff first."""
        return snapshot_files(self._home.snapshots / name / version)


def version_directories(parent: Path) -> list[Path]:
    """List ``v1``, ``v2``, … in a directory, oldest first."""
    paths = [path for path in parent.glob("v*") if re.fullmatch(r"v\d+", path.name)]
    return sorted(paths, key=lambda path: int(path.name[1:]))


def new_version(parent: Path, write: Callable[[Path], None], taken: Collection[str] = ()) -> Path:
    """Make the next version directory, which appears complete, and return it.

    Parameters
    ----------
    parent : Path
        Directory of the versions.
    write : callable
        Called with the directory to write into.
    taken : collection of str
        Further names of versions that are in use.
    """

    def next_name() -> str:
        names = {*taken, *(path.name for path in version_directories(parent))}
        return f"v{max((int(name[1:]) for name in names), default=0) + 1}"

    return new_directory(parent, write, next_name)


def snapshot_files(directory: Path) -> list[SnapshotFile]:
    """Describe the snapshot files of a directory, oldest cutoff first."""
    return [describe_snapshot(path) for path in sorted(directory.glob("*.parquet"))]


def describe_snapshot(path: Path) -> SnapshotFile:
    """Read a snapshot's metadata."""
    footer = pq.read_metadata(path)
    metadata: dict[bytes, Any] = footer.metadata
    return SnapshotFile(
        path=path,
        cutoff=datetime.fromisoformat(metadata[b"cutoff"].decode()),
        clients=footer.num_rows,
        width=int(metadata[b"width"]),
        identity=metadata[b"identity"].decode(),
    )
