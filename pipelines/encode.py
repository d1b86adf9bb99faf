"""``ubp encode``: profiles at further cutoffs, with the fitted blocks."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from ubp_platform.engine.base import HERE, Engine
from ubp_platform.home import Home
from ubp_platform.locks import exclusive
from ubp_platform.profile.assembly import assemble
from ubp_platform.profile.encoding import encode_blocks, known_cutoff
from ubp_platform.profile.listing import aligned_versions, get_version
from ubp_platform.profile.revisions import Revised, compare
from ubp_platform.profile.version import ProfileVersion
from ubp_platform.progress import ProgressFactory, logged
from ubp_platform.warehouse import Warehouse
from ubp_platform.warehouse.delivery_times import Known, require_delivered
from ubp_platform.warehouse.frozen import frozen, warn_of_changes


@dataclass(frozen=True)
class Encoded:
    """The snapshot of a cutoff, and what it revises, if it does."""

    version: ProfileVersion
    path: Path
    revised: Revised | None = None


def encode(
    home: Home,
    cutoffs: Sequence[datetime] = (),
    version: str | None = None,
    progress: ProgressFactory = logged,
    *,
    as_delivered: bool = False,
    engine: Engine = HERE,
) -> tuple[ProfileVersion, list[Encoded]]:
    """Encode cutoffs with the fitted blocks of a profile version, and assemble the profiles.

    Those of the versions that map it into another version's space, too.

    Parameters
    ----------
    home : Home
    cutoffs : sequence of datetime
        Past ones too; without any, the newest instant up to which the log is complete.
    version : str, optional
        The profile version; the newest by default.
    progress : ProgressFactory
    as_delivered : bool
        Leave out what was delivered at a cutoff or later, as if each were encoded at its time.
    engine : Engine
        Where the clients are encoded.

    Returns
    -------
    version : ProfileVersion
    encoded : list of Encoded
        In the order of the cutoffs, the version itself first.

    Raises
    ------
    UBPError
        If nothing had been delivered at a cutoff, as far as the warehouse knows.
    """
    with exclusive(home, "encode"):
        profile = get_version(home, version)
        encoded, versions = [], [profile, *aligned_versions(home, profile.name)]
        fits = [one.fits(home) for one in versions]
        with frozen(home) as copy, Warehouse(copy.warehouse) as warehouse:
            wanted: Sequence[datetime | None] = cutoffs or [None]
            times = [known_cutoff(warehouse, time) for time in wanted]
            for cutoff in times if as_delivered else ():
                require_delivered(warehouse.connection, cutoff)
            for cutoff in times:
                known = Known.at(cutoff, as_delivered)
                relevant = None if as_delivered else warehouse.relevant
                for one, parts in zip(versions, fits, strict=True):
                    before = one.snapshot_path(cutoff)
                    encode_blocks(copy, warehouse, parts, cutoff, progress, known, engine)
                    path = assemble(copy, one, cutoff, progress, relevant)
                    revised = compare(warehouse, before, path, known) if path != before else None
                    encoded.append(Encoded(one, path, revised))
            warn_of_changes(copy, times, "ubp encode")
    return profile, encoded
