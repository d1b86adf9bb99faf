"""``ubp encode``: profiles at further cutoffs, with the fitted blocks."""

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from ubp_platform.home import Home
from ubp_platform.locks import exclusive
from ubp_platform.profile.assembly import assemble
from ubp_platform.profile.encoding import encode_blocks, known_cutoff
from ubp_platform.profile.version import ProfileVersion, get_version, newest_version
from ubp_platform.progress import ProgressFactory, logged
from ubp_platform.warehouse import Warehouse
from ubp_platform.warehouse.frozen import frozen, warn_of_changes


def encode(
    home: Home,
    cutoffs: Sequence[datetime] = (),
    version: str | None = None,
    progress: ProgressFactory = logged,
) -> tuple[ProfileVersion, list[Path]]:
    """Encode cutoffs with the fitted blocks of a profile version, and assemble the profiles.

    Parameters
    ----------
    home : Home
    cutoffs : sequence of datetime
        Past ones too; without any, the midnight after the last event.
    version : str, optional
        The profile version; the newest by default.
    progress : ProgressFactory

    Returns
    -------
    version : ProfileVersion
    paths : list of Path
        The profile's snapshots, in the order of the cutoffs.
    """
    with exclusive(home, "encode"):
        profile = get_version(home, version) if version else newest_version(home)
        paths, parts = [], profile.fits(home)
        with frozen(home) as copy, Warehouse(copy.warehouse) as warehouse:
            wanted: Sequence[datetime | None] = cutoffs or [None]
            times = [known_cutoff(warehouse, time) for time in wanted]
            for cutoff in times:
                encode_blocks(copy, warehouse, parts, cutoff, progress)
                paths.append(assemble(copy, profile, cutoff, progress))
            warn_of_changes(copy, times, "ubp encode")
    return profile, paths
