"""``ubp align``: a version's profiles in the space of an older version."""

from pathlib import Path

from ubp_platform.errors import DamagedFile, UBPError
from ubp_platform.home import Home
from ubp_platform.locks import exclusive
from ubp_platform.profile import aligning
from ubp_platform.profile.assembly import assemble
from ubp_platform.profile.encoding import encode_blocks
from ubp_platform.profile.listing import aligned_name, get_version
from ubp_platform.profile.version import ProfileVersion
from ubp_platform.progress import ProgressFactory, logged
from ubp_platform.warehouse import Warehouse
from ubp_platform.warehouse.frozen import frozen


def align(
    home: Home, to: str, version: str | None = None, progress: ProgressFactory = logged
) -> ProfileVersion:
    """Make the version that serves downstream models of an older one, such as ``v2@v1``.

    Its profiles are written at the newest cutoff of the version that it maps. `ubp encode` and `ubp
    publish` of that version do the same for it from then on.

    Parameters
    ----------
    home : Home
    to : str
        The version that downstream models were fitted on.
    version : str, optional
        The version to map; the newest by default.
    progress : ProgressFactory

    Returns
    -------
    ProfileVersion
        The existing one, if these two were aligned before.

    Raises
    ------
    UBPError
        If one of the two is itself aligned with another one, or there are too few clients.
    """
    new, old = pair(home, to, version)
    with exclusive(home, "encode"), frozen(home) as copy, Warehouse(copy.warehouse) as warehouse:
        directory = home.profiles / aligned_name(new.name, old.name)
        if directory.exists():
            made = _existing(directory)
        else:
            made = aligning.align(copy, warehouse, new, old, progress)
        cutoff = new.snapshots[-1].cutoff if new.snapshots else new.description.normalizer_cutoff
        encode_blocks(copy, warehouse, made.fits(copy), cutoff, progress)
        assemble(copy, made, cutoff, progress, warehouse.relevant)
    return made


def _existing(directory: Path) -> ProfileVersion:
    try:
        made = ProfileVersion.load(directory)
        made.normalizers  # noqa: B018
    except DamagedFile as error:
        problem = str(error).partition(": ")[0]
        raise DamagedFile(f"{problem}: remove {directory}, then align again") from None
    return made


def pair(home: Home, to: str, version: str | None) -> tuple[ProfileVersion, ProfileVersion]:
    """Return the version to map, and the one into whose space.

    Raises
    ------
    UBPError
        If they cannot be aligned.
    """
    old = get_version(home, to)
    new = get_version(home, version)
    for one in (new, old):
        if one.source:
            raise UBPError(
                f"profile {one.name} is itself mapped from another one: align "
                f"{one.source.name} or {one.name.partition('@')[2]} instead"
            )
    if new.name == old.name:
        raise UBPError(f"profile {new.name} is in its own space: name another version")
    if not all(part.fit for part in (*new.parts, *old.parts)):
        raise UBPError(
            "one of the two was made by an earlier release, which did not identify fits: "
            "`ubp train` makes a version that can be aligned"
        )
    return new, old
