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


class Part(BaseModel):
    """One block's place in the profile: columns ``start`` to ``start + width``."""

    block: str
    version: str
    fit_cutoff: datetime
    kind: Normalization
    start: int
    width: int


class Description(BaseModel):
    """What ``profile.json`` says."""

    parts: list[Part]
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
        Holds ``profile.json``, ``normalizers.safetensors`` and a snapshot a cutoff.
    description : Description
    """

    name: str
    directory: Path
    description: Description

    @classmethod
    def load(cls, directory: Path) -> Self:
        """Read a version."""
        cure = f"remove {directory}, then `ubp train` makes the profile again"
        description = read_model(directory / "profile.json", Description, cure)
        return cls(directory.name, directory, description)

    @property
    def parts(self) -> list[Part]:
        """The blocks, in the order of the vector."""
        return self.description.parts

    @property
    def width(self) -> int:
        """Numbers in a profile."""
        return sum(part.width for part in self.parts)

    @property
    def widths(self) -> list[tuple[str, int]]:
        """The blocks with their widths, in the order of the vector."""
        return [(part.block, part.width) for part in self.parts]

    @property
    def model_cutoff(self) -> datetime:
        """The newest instant that any model or normalizer of the version has learned from.

        Handcrafted features learn nothing of their own.
        """
        learned = [part.fit_cutoff for part in self.parts if part.kind != "quantile"]
        return max([*learned, self.description.normalizer_cutoff])

    @property
    def snapshots(self) -> list[SnapshotFile]:
        """The cutoffs at which there are profiles, oldest first."""
        return snapshot_files(self.directory)

    def snapshot_path(self, cutoff: datetime) -> Path:
        """Say where the profiles of a cutoff lie."""
        return self.directory / f"{time_stem(cutoff)}.parquet"

    @cached_property
    def normalizers(self) -> list[Normalizer]:
        """The fitted normalizers, in the order of the parts."""
        arrays = load_file(self.directory / "normalizers.safetensors")
        return [Normalizer(part.kind, strip_prefix(arrays, part.block)) for part in self.parts]

    @cached_property
    def mean(self) -> np.ndarray:
        """The profile of a client nobody has seen, float32, shape (width,)."""
        return np.concatenate([normalizer.mean for normalizer in self.normalizers])


def checked_width(version: ProfileVersion, width: int | None) -> int:
    """Give how many numbers of a profile are wanted, the first ones; all where it is not said.

    Raises
    ------
    UBPError
        If the version has not so many.
    """
    if width is None:
        return version.width
    if not 1 <= width <= version.width:
        raise UBPError(
            f"a width of {width} is not to be had: profile {version.name} has {version.width} "
            "numbers"
        )
    return width


def encoded_from(home: Home, version: ProfileVersion, cutoff: datetime) -> str:
    """Name the history that a version's blocks at a cutoff were made from, empty if none were."""
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
        Where versions lie; by default with those that are served.
    taken : collection of str
        Names that a new version must not get: those of profiles in the online store.

    Returns
    -------
    ProfileVersion
        The same version again where these blocks were paired at this cutoff before; of those for
        serving the newest only, since the newest is what is encoded and published.
    """
    chosen = [(fitted.name, fitted.version) for fitted in blocks]
    there = versions(home, directory)
    for known in reversed(there if directory else there[-1:]):
        described = known.description
        if (
            described.normalizer_cutoff == cutoff
            and described.normalizer_revision == REVISION
            and chosen == [(part.block, part.version) for part in known.parts]
        ):
            return known
    catalog, parts, arrays, start = Catalog(home), [], {}, 0
    for fitted in blocks:
        path = catalog.snapshot_path(fitted.name, fitted.version, cutoff)
        population = thinned(path, FIT_CLIENTS)
        if not len(population):
            raise UBPError(f"{fitted.name} has no client before {cutoff}: nothing to scale by")
        block = block_class(fitted.name)
        normalizer = Normalizer.fit(population, block.normalization, block.principal_components)
        arrays.update({f"{fitted.name}.{name}": array for name, array in normalizer.arrays.items()})
        parts.append(
            Part(
                block=fitted.name,
                version=fitted.version,
                fit_cutoff=fitted.report.cutoff,
                kind=normalizer.kind,
                start=start,
                width=normalizer.width,
            )
        )
        start += normalizer.width
    description = Description(
        parts=parts,
        normalizer_cutoff=cutoff,
        normalizer_revision=REVISION,
        created_at=datetime.now(UTC).replace(microsecond=0),
    )

    def write(directory: Path) -> None:
        text = json.dumps(description.model_dump(mode="json"), indent=2)
        (directory / "profile.json").write_text(text + "\n")
        contiguous = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
        (directory / "normalizers.safetensors").write_bytes(save(contiguous))

    return ProfileVersion.load(new_version(directory or home.profiles, write, taken))


def versions(home: Home, directory: Path | None = None) -> list[ProfileVersion]:
    """List all profile versions of a directory, oldest first; by default those for serving."""
    found = version_directories(directory or home.profiles)
    return [ProfileVersion.load(path) for path in found]


def newest_version(home: Home) -> ProfileVersion:
    """Give the newest profile version.

    Raises
    ------
    UBPError
        If there is none.
    """
    found = version_directories(home.profiles)
    if not found:
        raise UBPError("there is no profile yet: run `ubp train` first")
    return ProfileVersion.load(found[-1])


def get_version(home: Home, name: str) -> ProfileVersion:
    """Find a profile version by its name.

    Raises
    ------
    UBPError
        If there is no such version.
    """
    known = {version.name: version for version in versions(home)}
    if name not in known:
        there = ", ".join(known) or "none yet"
        raise UBPError(f"no profile version is called {name!r}; there are: {there}")
    return known[name]
