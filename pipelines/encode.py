"""``ubp encode``: profiles at further cutoffs, with the fitted blocks."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from ubp_platform.home import Home
from ubp_platform.locks import exclusive
from ubp_platform.profile.assembly import assemble
from ubp_platform.profile.encoding import encode_blocks, known_cutoff
from ubp_platform.profile.revisions import Revised, compare
from ubp_platform.profile.version import ProfileVersion, get_version, newest_version
from ubp_platform.progress import ProgressFactory, logged
from ubp_platform.warehouse import Warehouse
from ubp_platform.warehouse.delivery_times import Known, require_delivered
from ubp_platform.warehouse.frozen import frozen, warn_of_changes


@dataclass(frozen=True)
class Encoded:
    """The snapshot of a cutoff, and what it revises, if it does."""

    path: Path
    revised: Revised | None = None


def encode(
    home: Home,
    cutoffs: Sequence[datetime] = (),
    version: str | None = None,
    progress: ProgressFactory = logged,
    *,
    as_delivered: bool = False,
) -> tuple[ProfileVersion, list[Encoded]]:
    """Encode cutoffs with the fitted blocks of a profile version, and assemble the profiles.

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

    Returns
    -------
    version : ProfileVersion
    encoded : list of Encoded
        In the order of the cutoffs.

    Raises
    ------
    UBPError
        If nothing had been delivered at a cutoff, as far as the warehouse knows.
    """
    with exclusive(home, "encode"):
        profile = get_version(home, version) if version else newest_version(home)
        encoded, parts = [], profile.fits(home)
        with frozen(home) as copy, Warehouse(copy.warehouse) as warehouse:
            wanted: Sequence[datetime | None] = cutoffs or [None]
            times = [known_cutoff(warehouse, time) for time in wanted]
            for cutoff in times if as_delivered else ():
                require_delivered(warehouse.connection, cutoff)
            for cutoff in times:
                before = profile.snapshot_path(cutoff)
                known = Known.at(cutoff, as_delivered)
                encode_blocks(copy, warehouse, parts, cutoff, progress, known)
                relevant = None if as_delivered else warehouse.relevant
                path = assemble(copy, profile, cutoff, progress, relevant)
                revised = None
                if path != before:
                    revised = compare(warehouse, before, path, known)
                encoded.append(Encoded(path, revised))
            warn_of_changes(copy, times, "ubp encode")
    return profile, encoded
