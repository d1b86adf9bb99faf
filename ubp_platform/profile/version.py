"""Profile versions: immutable pairings of block versions and fitted normalizers."""

import hashlib
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Self

import numpy as np
from pydantic import BaseModel
from safetensors.numpy import load_file, save

from ubp_platform import sealed
from ubp_platform.blocks.base import Normalization
from ubp_platform.blocks.catalog import Catalog, FittedBlock
from ubp_platform.blocks.snapshot_files import (
    SnapshotFile,
    check_snapshot,
    describe_snapshot,
    require_fits,
    revision_paths,
    snapshot_files,
    snapshot_path,
)
from ubp_platform.blocks.state_arrays import digest, strip_prefix
from ubp_platform.errors import BadRequest, DamagedFile, UBPError
from ubp_platform.home import Home
from ubp_platform.profile.alignment import Alignment, transform
from ubp_platform.profile.normalizer import Normalizer


class ProfilePart(BaseModel):
    """The columns ``start`` to ``start + width`` of the profile, which hold one block.

    ``fit`` is the hash of the fit; empty in profiles of earlier releases. A part that an aligned
    version maps from another profile names that profile's version, and the hash of all its fits.
    """

    block: str
    version: str
    fit: str = ""
    fit_cutoff: datetime
    kind: Normalization
    start: int
    width: int

    def fitted_as(self, home: Home) -> str:
        """Return the version under which the fit is found now, which may have been damaged."""
        try:
            return Catalog(home).get(self.block, self.version, self.fit).version
        except DamagedFile:
            return self.version


class ProfileDescription(BaseModel):
    """The content of ``profile.json``."""

    parts: list[ProfilePart]
    normalizer_cutoff: datetime
    normalizer_revision: int = 1
    created_at: datetime
    #: The hash of the normalizers; empty in profiles of earlier releases.
    normalizers: str = ""
    #: How a version gets its numbers that is aligned with another one.
    aligned: Alignment | None = None


@dataclass(frozen=True)
class ProfileVersion:
    """A profile version on disk.

    Parameters
    ----------
    name : str
        ``v1``, ``v2``, …; ``v2@v1`` for the version that maps ``v2`` into the space of ``v1``.
    directory : Path
        Holds ``profile.json``, ``normalizers.safetensors`` and one snapshot per cutoff.
    description : ProfileDescription
    """

    name: str
    directory: Path
    description: ProfileDescription

    @classmethod
    def load(cls, directory: Path) -> Self:
        """Read a version.

        Raises
        ------
        DamagedFile
            If ``profile.json`` is missing or damaged.
        """
        path = directory / "profile.json"
        description = sealed.read_json(path, ProfileDescription, _cure(directory))
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

    def ordered(self, blocks: Collection[str]) -> list[str]:
        """Return blocks in the order of the vector; none if they are all of it.

        Raises
        ------
        BadRequest
            If there is no such block.
        """
        names = [part.block for part in self.parts]
        for name in blocks:
            if name not in names:
                raise BadRequest(
                    f"profile {self.name} has no block {name!r}; it has {', '.join(names)}"
                )
        found = [name for name in names if name in blocks]
        return [] if found == names else found

    def columns(self, blocks: Collection[str] = ()) -> np.ndarray:
        """Return the columns of some blocks, in the order of the vector; of all without names."""
        chosen = [part for part in self.parts if not blocks or part.block in blocks]
        return np.concatenate([np.arange(one.start, one.start + one.width) for one in chosen])

    @cached_property
    def source(self) -> "ProfileVersion | None":
        """The version that an aligned version maps; None for any other version.

        Raises
        ------
        DamagedFile
            If it is missing or damaged.
        """
        aligned = self.description.aligned
        return self.load(self.directory.with_name(aligned.of)) if aligned else None

    @property
    def own_parts(self) -> list[ProfilePart]:
        """The parts that are computed from a block of their own: of most versions, all."""
        return [part for part in self.parts if part.block not in self._mapped]

    @property
    def _mapped(self) -> set[str]:
        """The blocks whose columns an aligned version maps from another profile."""
        aligned = self.description.aligned
        return {one.block for one in aligned.blocks if one.method != "kept"} if aligned else set()

    def fits(self, home: Home) -> list[FittedBlock]:
        """Return the fitted blocks that it is made of, in the order of the vector.

        Raises
        ------
        DamagedFile
            If one is missing or damaged.
        """
        catalog = Catalog(home)
        own = [catalog.get(part.block, part.version, part.fit) for part in self.own_parts]
        if not self.source:
            return own
        others = self.source.fits(home)
        return [*others, *(fit for fit in own if fit not in others)]

    @property
    def model_cutoff(self) -> datetime:
        """The latest cutoff that any model or normalizer of the version was fitted at.

        Handcrafted features are not fitted.
        """
        learned = [part.fit_cutoff for part in self.own_parts if part.kind != "quantile"]
        others = [self.source.model_cutoff] if self.source else []
        return max([*learned, *others, self.description.normalizer_cutoff])

    @property
    def made_from(self) -> str:
        """The hash of all fits; empty if one of them has none, of an earlier release."""
        fits = [part.fit for part in self.parts]
        if self.description.aligned:
            fits.append(self.description.normalizers)
        return hash_of_fits(fits) if all(fits) else ""

    @property
    def snapshots(self) -> list[SnapshotFile]:
        """The snapshots that have clients' newest profiles, oldest first.

        Of a cutoff several where some clients were refreshed; the last one counts.

        Raises
        ------
        DamagedFile
            If one is damaged, or of another profile.
        """
        found = snapshot_files(self.directory)
        for snapshot in found:
            require_fits(snapshot, self.made_from)
        return found

    def check_snapshots(self) -> Iterator[Path]:
        """Check and yield all snapshots; raise DamagedFile as soon as one is damaged."""
        for path in revision_paths(self.directory):
            check_snapshot(path, self.made_from)
            yield path

    def snapshot_path(self, cutoff: datetime) -> Path:
        """Return the path of the newest revision of the profiles at a cutoff.

        The first one's path if there is none.
        """
        found = revision_paths(self.directory, cutoff)
        return found[-1] if found else snapshot_path(self.directory, cutoff)

    @cached_property
    def normalizers(self) -> list[Normalizer]:
        """The fitted normalizers, in the order of the parts; DamagedFile if they are damaged."""
        path = self.directory / "normalizers.safetensors"
        cure = _cure(self.directory)
        arrays = sealed.read(path, cure, lambda: load_file(path))
        if self.description.normalizers not in ("", digest(arrays)):
            raise DamagedFile(f"{path} is of another profile: {cure}")
        return [Normalizer(part.kind, strip_prefix(arrays, part.block)) for part in self.parts]

    def load_all(self) -> None:
        """Read all files, so that a copy of this object needs none of them."""
        self.mean  # noqa: B018
        if self.source:
            self.source.load_all()

    @property
    def own(self) -> list[tuple[ProfilePart, Normalizer]]:
        """The parts that are computed from a block of their own, with their normalizers."""
        both = zip(self.parts, self.normalizers, strict=True)
        return [(part, fitted) for part, fitted in both if part.block not in self._mapped]

    def map(self, source: np.ndarray, profiles: np.ndarray) -> None:
        """Fill in the parts that are mapped from another version, for the same clients.

        Parameters
        ----------
        source : ndarray of float32, shape (n, source_width)
            The profiles of :attr:`source`.
        profiles : ndarray of float32, shape (n, width)
            Changed in place.
        """
        for part, normalizer in zip(self.parts, self.normalizers, strict=True):
            if part.block in self._mapped:
                columns = slice(part.start, part.start + part.width)
                profiles[:, columns] = transform(source, normalizer.arrays)

    @cached_property
    def mean(self) -> np.ndarray:
        """The profile of an unknown client, float32, shape (width,)."""
        return np.concatenate([normalizer.mean for normalizer in self.normalizers])


def _cure(directory: Path) -> str:
    of, is_aligned, to = directory.name.partition("@")
    if is_aligned:
        return (
            f"restore it from a backup, or remove {directory}; `ubp align {of} --to {to}` makes it "
            "again"
        )
    return "restore it from a backup, or `ubp train && ubp publish` makes and serves a new version"


def hash_of_fits(fits: Iterable[str]) -> str:
    """Identify a profile's fits, in the order of the vector."""
    return hashlib.sha256("\n".join(fits).encode()).hexdigest()


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
    path = version.snapshot_path(cutoff)
    if path.exists() and (made_from := describe_snapshot(path).made_from).fits:
        return made_from.history
    # Of an earlier release.
    part = version.parts[0]
    path = Catalog(home).snapshot_path(part.block, part.version, cutoff)
    return describe_snapshot(path).made_from.history if path.exists() else ""


def writing(
    description: ProfileDescription, arrays: dict[str, np.ndarray]
) -> Callable[[Path], None]:
    """Return a function that writes a version into a directory."""

    def write(directory: Path) -> None:
        (directory / "profile.json").write_text(sealed.sealed_json(description), "utf-8")
        content = save(arrays, metadata={sealed.FIELD: sealed.UNSEALED})
        (directory / "normalizers.safetensors").write_bytes(sealed.sealed(content))

    return write
