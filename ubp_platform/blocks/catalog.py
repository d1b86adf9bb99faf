"""Fitted blocks on disk: ``blocks/NAME/VERSION``, and where their snapshots lie.

A version appears complete, as a directory that is renamed into place, and never changes.
"""

import warnings
from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from ubp_platform.blocks.base import Block
from ubp_platform.blocks.fit_files import check_weights, read_description
from ubp_platform.blocks.fit_report import FitReport
from ubp_platform.blocks.registry import block_class
from ubp_platform.blocks.snapshot_files import SnapshotFile, inspect_snapshots, snapshot_path
from ubp_platform.errors import DamagedFile
from ubp_platform.files import new_directory
from ubp_platform.home import Home
from ubp_platform.names import give_name, number
from ubp_platform.sealed import sort_out, whole


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
    fit : str
        The hash of what was fitted; an interrupted fit has another one than a complete fit of the
        same identity.
    keys : str
        What the keys of text ids stood for.
    """

    name: str
    version: str
    directory: Path
    report: FitReport
    identity: str
    fit: str
    keys: str

    def is_whole(self) -> bool:
        """Whether the weights are as they were written."""
        try:
            check_weights(self.directory)
        except DamagedFile:
            return False
        return True

    def check(self) -> None:
        """Check that what the block needs besides events is available; loads no weights."""
        block_class(self.name).describe(self.directory).check()

    def load(self) -> Block:
        """Load the block."""
        return block_class(self.name).load(self.directory)


class Catalog:
    """All fitted blocks of a home."""

    def __init__(self, home: Home) -> None:
        self._home = home

    def versions(self, name: str) -> list[FittedBlock]:
        """List the fitted versions of a block, oldest first; warn of damaged ones."""
        return whole(self.inspect(name))

    def inspect(self, name: str) -> tuple[list[FittedBlock], list[DamagedFile]]:
        """List the fitted versions of a block, oldest first, and what is wrong with the others."""
        return sort_out(version_directories(self._home.blocks / name), _describe)

    def newest(self, name: str) -> FittedBlock | None:
        """Return the version with the latest cutoff; of several, the last one fitted."""
        # `max` returns the first of equals.
        fits = reversed(self.versions(name))
        return max(fits, key=lambda fit: fit.report.cutoff, default=None)

    def complete_fit(self, name: str, identity: str) -> FittedBlock | None:
        """Return the newest complete and undamaged fit of this identity, if there is one."""
        for fitted in reversed(self.versions(name)):
            if fitted.identity == identity and fitted.report.complete:
                try:
                    check_weights(fitted.directory)
                except DamagedFile as error:
                    warnings.warn(str(error), stacklevel=2)
                    continue
                return fitted
        return None

    def get(self, name: str, version: str, fit: str = "") -> FittedBlock:
        """Return one fit.

        Parameters
        ----------
        name, version : str
        fit : str
            Its hash; empty if it is not known. A fit with this hash is as good under another
            version, such as one that replaces a damaged directory.

        Raises
        ------
        DamagedFile
            If there is no such fit.
        """
        directory = self._home.blocks / name / version
        try:
            found = _describe(directory)
            check_weights(directory)
            if found.fit == (fit or found.fit):
                return found
            problem = DamagedFile(
                f"{directory} holds another fit than the profile was made with: `ubp train {name}` "
                "makes a new profile"
            )
        except DamagedFile as error:
            problem = error
        for other in reversed(self.versions(name)):
            if fit and other.fit == fit and other.is_whole():
                return other
        raise problem

    def add(self, block: Block, identity: str, keys: str = "") -> FittedBlock:
        """Save a fitted block as the next version; see :meth:`Block.save`."""
        # Snapshots of a version that was removed may still be there.
        old = version_directories(self._home.snapshots / block.name)
        directory = new_version(
            self._home,
            self._home.blocks / block.name,
            lambda directory: block.save(directory, identity, keys),
            taken=[path.name for path in old],
        )
        return _describe(directory)

    def snapshot_path(self, name: str, version: str, cutoff: datetime) -> Path:
        """Return the path of a snapshot, which need not exist."""
        return snapshot_path(self._home.snapshots / name / version, cutoff)

    def snapshots(self, name: str, version: str) -> list[SnapshotFile]:
        """List the snapshots of one version, oldest cutoff first; warn of damaged ones."""
        return whole(self.inspect_snapshots(name, version))

    def inspect_snapshots(
        self, name: str, version: str
    ) -> tuple[list[SnapshotFile], list[DamagedFile]]:
        """List the snapshots of one version, and what is wrong with damaged ones."""
        return inspect_snapshots(self._home.snapshots / name / version)


def _describe(directory: Path) -> FittedBlock:
    found = read_description(directory)
    return FittedBlock(
        name=directory.parent.name,
        version=directory.name,
        directory=directory,
        report=found.report,
        identity=found.identity,
        fit=found.fit,
        keys=found.keys,
    )


def version_directories(parent: Path) -> list[Path]:
    """List ``v1``, ``v2``, … in a directory, oldest first."""
    paths = [path for path in parent.glob("v*") if number(path.name)]
    return sorted(paths, key=lambda path: number(path.name))


def new_version(
    home: Home, parent: Path, write: Callable[[Path], None], taken: Collection[str] = ()
) -> Path:
    """Make the next version directory, which appears complete, and return it.

    Parameters
    ----------
    home : Home
    parent : Path
        Directory of the versions, in the home.
    write : callable
        Called with the directory to write into.
    taken : collection of str
        Further names of versions that are in use.
    """
    kind = str(parent.relative_to(home.root))

    def name() -> str:
        existing = [path.name for path in version_directories(parent)]
        return give_name(home, kind, [*taken, *existing])

    return new_directory(parent, write, name)
