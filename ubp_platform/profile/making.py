"""Making a profile version of fitted blocks."""

from collections.abc import Collection
from pathlib import Path

from ubp_platform.engine.base import HERE, Engine
from ubp_platform.home import Home
from ubp_platform.locks import exclusive
from ubp_platform.profile.assembly import assemble
from ubp_platform.profile.encoding import encode_blocks
from ubp_platform.profile.fitting import BlockFits
from ubp_platform.profile.pairing import create
from ubp_platform.profile.version import ProfileVersion
from ubp_platform.progress import ProgressFactory, logged
from ubp_platform.warehouse import Warehouse


def make_version(
    home: Home,
    fits: BlockFits,
    progress: ProgressFactory = logged,
    *,
    directory: Path | None = None,
    taken: Collection[str] = (),
    engine: Engine = HERE,
) -> ProfileVersion:
    """Encode the cutoff of the fits, pair the blocks in a version, and assemble its profiles.

    Parameters
    ----------
    home : Home
        With the warehouse that the blocks were fitted on.
    fits : BlockFits
    progress : ProgressFactory
    directory, taken
        As in :func:`~ubp_platform.profile.pairing.create`.
    engine : Engine

    Returns
    -------
    ProfileVersion
        The existing version where one has these blocks.
    """
    # All of it, so that no other process replaces a snapshot between its block and its profile.
    with exclusive(home, "encode"):
        with Warehouse(home.warehouse) as warehouse:
            encode_blocks(home, warehouse, fits.parts, fits.cutoff, progress, fits.known, engine)
            relevant = None if fits.known.delivered_before else warehouse.relevant
        version = create(home, fits.parts, fits.cutoff, directory, taken)
        assemble(home, version, fits.cutoff, progress, relevant)
    return version
