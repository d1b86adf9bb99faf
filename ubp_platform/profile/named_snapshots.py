"""Naming the snapshots that something was made of, and finding them again."""

from collections.abc import Iterable
from datetime import datetime

from pydantic import BaseModel

from ubp_platform.blocks.snapshot_files import (
    Origin,
    SnapshotFile,
    describe_snapshot,
    revision_paths,
)
from ubp_platform.errors import UBPError
from ubp_platform.profile.version import ProfileVersion


class NamedSnapshot(BaseModel):
    """A snapshot that was read: cutoff, origin, and the file's name.

    Revisions of equal origin may differ in clients who keep an earlier profile. Records of earlier
    releases have no name.
    """

    cutoff: datetime
    made_from: Origin
    file: str = ""
    partial: bool = False

    @classmethod
    def of(cls, file: SnapshotFile) -> "NamedSnapshot":
        """Name a snapshot."""
        return cls(
            cutoff=file.cutoff, made_from=file.made_from, file=file.path.name, partial=file.partial
        )

    def is_of(self, file: SnapshotFile) -> bool:
        """Whether a file is the snapshot that was read."""
        # One of all clients under the name of a damaged partial one is another one.
        ours = (self.cutoff, self.made_from, self.partial)
        same = (file.cutoff, file.made_from, file.partial) == ours
        return same and self.file in ("", file.path.name)


def find_snapshots(version: ProfileVersion, named: Iterable[NamedSnapshot]) -> list[SnapshotFile]:
    """Return the files of snapshots, in their order.

    Raises
    ------
    UBPError
        If one is gone.
    """
    files = []
    for one in named:
        revisions = map(describe_snapshot, revision_paths(version.directory, one.cutoff))
        whole = [file for file in revisions if one.is_of(file)]
        if not whole:
            raise UBPError(
                f"the profiles of {one.cutoff:%Y-%m-%d %H:%M} that were read are not in "
                f"{version.directory} any more: restore it from a backup"
            )
        files.append(whole[-1])
    return files
