"""Making profile versions: pairing fitted blocks with normalizers."""

from collections.abc import Collection
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from ubp_platform.blocks.catalog import Catalog, FittedBlock, new_version
from ubp_platform.blocks.registry import block_class
from ubp_platform.blocks.snapshot import thinned
from ubp_platform.blocks.state_arrays import digest
from ubp_platform.errors import DamagedFile, UBPError
from ubp_platform.home import Home
from ubp_platform.profile.listing import versions
from ubp_platform.profile.normalizer import FIT_CLIENTS, REVISION, Normalizer
from ubp_platform.profile.version import (
    ProfileDescription,
    ProfilePart,
    ProfileVersion,
    writing,
)


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
        if _pairs(version, blocks, cutoff):
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
            fit=fitted.fit,
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
        normalizers=digest(arrays),
    )

    write = writing(description, arrays)
    return ProfileVersion.load(new_version(home, directory or home.profiles, write, taken))


def _pairs(version: ProfileVersion, blocks: list[FittedBlock], cutoff: datetime) -> bool:
    """Whether a version, undamaged, is of these fits, under whatever names."""
    description = version.description
    try:
        version.normalizers  # noqa: B018
    except DamagedFile:
        return False
    fits = {part.block: part.fit for part in description.parts}
    return (
        description.normalizer_cutoff == cutoff
        and description.normalizer_revision == REVISION
        and [(part.block, part.fit or part.version) for part in description.parts]
        == [(one.name, one.fit if fits.get(one.name) else one.version) for one in blocks]
    )


def _fit_normalizer(home: Home, fitted: FittedBlock, cutoff: datetime) -> Normalizer:
    path = Catalog(home).snapshot_path(fitted.name, fitted.version, cutoff)
    population = thinned(path, FIT_CLIENTS)
    if not len(population):
        raise UBPError(f"{fitted.name} has no client before {cutoff}: nothing to scale by")
    block = block_class(fitted.name)
    return Normalizer.fit(population, block.normalization, block.principal_components)
