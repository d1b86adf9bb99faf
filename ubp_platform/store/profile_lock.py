"""A profile lock: which profile a downstream model was trained on, as a file beside its data."""

from pathlib import Path

import pyarrow.parquet as pq
from pydantic import BaseModel

from ubp_platform import sealed
from ubp_platform.blocks.snapshot import feature_names
from ubp_platform.blocks.snapshot_files import snapshot_files
from ubp_platform.errors import DamagedFile, UBPError
from ubp_platform.files import write_text
from ubp_platform.home import Home
from ubp_platform.profile.version import ProfileVersion


class LockedBlock(BaseModel):
    """A block's place in the profile, and the hash of its fit."""

    block: str
    fit: str
    start: int
    width: int


class ProfileLock(BaseModel):
    """The content of ``*.profile.lock``.

    Parameters
    ----------
    version : str
    width : int
        How many numbers of the profile are used, the first ones.
    blocks : list of LockedBlock
    normalizers : str
        The hash of the normalizers, or of an aligned version's maps.
    columns : list of str
        A name for each of the ``width`` numbers, such as ``counters.buys_7d``; a block whose
        numbers have no names has ``gru_ae_all.0``, ….
    """

    version: str
    width: int
    blocks: list[LockedBlock]
    normalizers: str
    columns: list[str]

    @classmethod
    def of(cls, home: Home, version: ProfileVersion, width: int) -> "ProfileLock":
        """Describe a version."""
        return cls(
            version=version.name,
            width=width,
            blocks=_blocks(version),
            normalizers=version.description.normalizers,
            columns=_columns(home, version)[:width],
        )

    @classmethod
    def read(cls, path: Path) -> "ProfileLock":
        """Read a lock.

        Raises
        ------
        UBPError
            If there is none, or it is damaged.
        """
        if not path.is_file():
            raise UBPError(f"no such file: {path}; `ubp training-set` writes one beside its output")
        try:
            return sealed.read_json(path, cls, "write the training set again")
        except DamagedFile as error:
            raise UBPError(str(error)) from None

    def write(self, path: Path) -> None:
        """Write or replace a lock."""
        write_text(path, sealed.sealed_json(self))

    def require(self, version: ProfileVersion) -> None:
        """Check that a version is the locked one, or mapped into its space.

        Raises
        ------
        UBPError
            If it is another one.
        """
        aligned = version.description.aligned
        if aligned and self.normalizers and aligned.to_normalizers == self.normalizers:
            same = [(one.block, one.start, one.width) for one in self.blocks]
            if same == [(part.block, part.start, part.width) for part in version.parts]:
                return
        if (version.name, version.description.normalizers) == (self.version, self.normalizers):
            if _blocks(version) == self.blocks:
                return
            raise UBPError(
                f"{version.directory} is another profile {version.name} than the one locked, with "
                "other fits: train the downstream model again"
            )
        if version.name == self.version:
            raise UBPError(
                f"{version.directory} is another profile {version.name} than the one locked: is it "
                "another home?"
            )
        raise UBPError(
            f"the downstream model was trained on profile {self.version}, and {version.name} is in "
            f"another space: `ubp align {version.name} --to {self.version}` maps it"
        )


def lock_path(output: Path) -> Path:
    """Return the path of the lock that belongs to a training set's file."""
    return output.with_name(f"{output.stem}.profile.lock")


def _blocks(version: ProfileVersion) -> list[LockedBlock]:
    return [
        LockedBlock(block=part.block, fit=part.fit, start=part.start, width=part.width)
        for part in version.parts
    ]


def _columns(home: Home, version: ProfileVersion) -> list[str]:
    """Name the numbers of a profile, where its blocks' snapshots have names for them."""
    columns, own = [], version.own_parts
    for part in version.parts:
        names = None
        if part in own:
            files = snapshot_files(home.snapshots / part.block / part.fitted_as(home))
            names = feature_names(pq.read_schema(files[-1].path)) if files else None
        if names is None or len(names) != part.width:
            names = tuple(map(str, range(part.width)))
        columns += [f"{part.block}.{name}" for name in names]
    return columns
