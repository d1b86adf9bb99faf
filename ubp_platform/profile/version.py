"""Profile versions: immutable pairings of block versions and fitted normalizers."""

import json
from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Self

import numpy as np
from pydantic import BaseModel
from safetensors.numpy import load_file, save

from ubp_platform.blocks.base import Normalization
from ubp_platform.blocks.catalog import (
    Catalog,
    FittedBlock,
    SnapshotFile,
    describe_snapshot,
    new_version,
    snapshot_files,
    version_directories,
)
from ubp_platform.blocks.registry import block_class
from ubp_platform.blocks.snapshot import thinned
from ubp_platform.blocks.state_arrays import strip_prefix
from ubp_platform.errors import UBPError
from ubp_platform.files import read_model
from ubp_platform.home import Home
from ubp_platform.profile.normalizer import FIT_CLIENTS, REVISION, Normalizer
from ubp_platform.times import time_stem


class ProfilePart(BaseModel):
    """The columns ``start`` to ``start + width`` of the profile, which hold one block."""

    block: str
    version: str
    fit_cutoff: datetime
    kind: Normalization
    start: int
    width: int


class ProfileDescription(BaseModel):
    """The content of ``profile.json``."""

    parts: list[ProfilePart]
    normalizer_cutoff: datetime
    normalizer_revision: int = 1
    created_at: datetime


@dataclass(frozen=True)
class ProfileVersion:
    """A profile version on disk.

    Parameters
    ----------
    name : str
        ``v1``, ``v2``, …
    directory : Path
        Holds ``profile.json``, ``normalizers.safetensors`` and one snapshot per cutoff.
    description : ProfileDescription
    """

    name: str
    directory: Path
    description: ProfileDescription

    @classmethod
    def load(cls, directory: Path) -> Self:
        """Read a version."""
        cure = f"remove {directory}, then `ubp train` makes the profile again"
        description = read_model(directory / "profile.json", ProfileDescription, cure)
        return cls(directory.name, directory, description)

    @property
    def parts(self) -> list[ProfilePart]:
        """The blocks, in the order of the vector."""
        return self.description.parts

    @property
    def width(self) -> int:
        """Length of a profile."""
        return sum(part.width for part in self.parts)

    @property
    def widths(self) -> list[tuple[str, int]]:
        """The blocks with their widths, in the order of the vector."""
        return [(part.block, part.width) for part in self.parts]

    @property
    def model_cutoff(self) -> datetime:
        """The latest cutoff that any model or normalizer of the version was fitted at.

        Handcrafted features are not fitted.
        """
        learned = [part.fit_cutoff for part in self.parts if part.kind != "quantile"]
        return max([*learned, self.description.normalizer_cutoff])

    @property
    def snapshots(self) -> list[SnapshotFile]:
        """The cutoffs at which there are profiles, oldest first."""
        return snapshot_files(self.directory)

    def snapshot_path(self, cutoff: datetime) -> Path:
        """Return the path of the profiles at a cutoff."""
        return self.directory / f"{time_stem(cutoff)}.parquet"

    @cached_property
    def normalizers(self) -> list[Normalizer]:
        """The fitted normalizers, in the order of the parts."""
        arrays = load_file(self.directory / "normalizers.safetensors")
        return [Normalizer(part.kind, strip_prefix(arrays, part.block)) for part in self.parts]

    @cached_property
    def mean(self) -> np.ndarray:
        """The profile of an unknown client, float32, shape (width,)."""
        return np.concatenate([normalizer.mean for normalizer in self.normalizers])


def checked_width(version: ProfileVersion, width: int | None) -> int:
    """Return the requested width of a profile, by default all of it.

    Raises
    ------
    UBPError
        If the profile is not that wide.
    """
    if width is None:
        return version.width
    if not 1 <= width <= version.width:
        raise UBPError(
            f"a width of {width} is not available: profile {version.name} has {version.width} "
            "numbers"
        )
    return width


def encoded_from(home: Home, version: ProfileVersion, cutoff: datetime) -> str:
    """Return the identity of the history that the blocks at a cutoff encode; empty if none do."""
    part = version.parts[0]
    path = Catalog(home).snapshot_path(part.block, part.version, cutoff)
    return describe_snapshot(path).identity if path.exists() else ""


def create(
    home: Home,
    blocks: list[FittedBlock],
    cutoff: datetime,
    directory: Path | None = None,
    taken: Collection[str] = (),
) -> ProfileVersion:
    """Fit the normalizers of a new version on the blocks' snapshots at a cutoff.

    Parameters
    ----------
    home : Home
    blocks : list of FittedBlock
        In the order of the profile; each has a snapshot at the cutoff.
    cutoff : datetime
    directory : Path, optional
        Where versions are kept; by default with those that are served.
    taken : collection of str
        Names that a new version must not get: those of profiles in the online store.

    Returns
    -------
    ProfileVersion
        The existing version if these blocks were paired at this cutoff before. Of the versions for
        serving only the newest is reused, because the newest is what is encoded and published.

    Raises
    ------
    UBPError
        If a block has no client at the cutoff.
    """
    existing = versions(home, directory)
    for version in reversed(existing if directory else existing[-1:]):
        if _pairs(version.description, blocks, cutoff):
            return version
    parts: list[ProfilePart] = []
    arrays: dict[str, np.ndarray] = {}
    for fitted in blocks:
        normalizer = _fit_normalizer(home, fitted, cutoff)
        for name, array in normalizer.arrays.items():
            arrays[f"{fitted.name}.{name}"] = np.ascontiguousarray(array)
        part = ProfilePart(
            block=fitted.name,
            version=fitted.version,
            fit_cutoff=fitted.report.cutoff,
            kind=normalizer.kind,
            start=sum(part.width for part in parts),
            width=normalizer.width,
        )
        parts.append(part)
    description = ProfileDescription(
        parts=parts,
        normalizer_cutoff=cutoff,
        normalizer_revision=REVISION,
        created_at=datetime.now(UTC).replace(microsecond=0),
    )

    def write(directory: Path) -> None:
        text = json.dumps(description.model_dump(mode="json"), indent=2)
        (directory / "profile.json").write_text(text + "\n")
        (directory / "normalizers.safetensors").write_bytes(save(arrays))

    return ProfileVersion.load(new_version(directory or home.profiles, write, taken))


def _pairs(description: ProfileDescription, blocks: list[FittedBlock], cutoff: datetime) -> bool:
    return (
        description.normalizer_cutoff == cutoff
        and description.normalizer_revision == REVISION
        and [(part.block, part.version) for part in description.parts]
        == [(fitted.name, fitted.version) for fitted in blocks]
    )


def _fit_normalizer(home: Home, fitted: FittedBlock, cutoff: datetime) -> Normalizer:
    path = Catalog(home).snapshot_path(fitted.name, fitted.version, cutoff)
    population = thinned(path, FIT_CLIENTS)
    if not len(population):
        raise UBPError(f"{fitted.name} has no client before {cutoff}: nothing to scale by")
    block = block_class(fitted.name)
    return Normalizer.fit(population, block.normalization, block.principal_components)


def versions(home: Home, directory: Path | None = None) -> list[ProfileVersion]:
    """List all profile versions of a directory, oldest first; by default those for serving."""
    return [ProfileVersion.load(path) for path in version_directories(directory or home.profiles)]


def newest_version(home: Home) -> ProfileVersion:
    """Return the newest profile version.

    Raises
    ------
    UBPError
        If there is none.
    """
    directories = version_directories(home.profiles)
    if not directories:
        raise UBPError("there is no profile yet: run `ubp train` first")
    return ProfileVersion.load(directories[-1])


def get_version(home: Home, name: str) -> ProfileVersion:
    """Return the profile version of a name.

    Raises
    ------
    UBPError
        If there is no such version.
    """
    known = {version.name: version for version in versions(home)}
    if name not in known:
        names = ", ".join(known) or "none yet"
        raise UBPError(f"no profile version is called {name!r}; there are: {names}")
    return known[name]
