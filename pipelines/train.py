"""``ubp train``: fit blocks, and make a profile version of them."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from ubp_platform.blocks.registry import profile_blocks
from ubp_platform.choices import Preset, ProfileKind
from ubp_platform.engine.base import HERE, Engine
from ubp_platform.home import Home
from ubp_platform.locks import exclusive
from ubp_platform.profile.fitting import BlockFits, fit_blocks, select_blocks
from ubp_platform.profile.making import make_version
from ubp_platform.profile.version import ProfileVersion
from ubp_platform.progress import ProgressFactory, logged
from ubp_platform.store.served import Served
from ubp_platform.warehouse.frozen import frozen, warn_of_changes


@dataclass(frozen=True)
class Trained(BlockFits):
    """What ``ubp train`` did: the fits, and the profile version that was made of them."""

    #: The profile version.
    profile: ProfileVersion = field(kw_only=True)


def train(
    home: Home,
    names: Sequence[str] = (),
    cutoff: datetime | None = None,
    preset: Preset = "small",
    seed: int = 0,
    progress: ProgressFactory = logged,
    *,
    profile: ProfileKind = "default",
    skip: Sequence[str] = (),
    model: str | None = None,
    resume: bool = False,
    as_delivered: bool = False,
    refit_forgotten: int | None = None,
    engine: Engine = HERE,
    clients_sample: int | None = None,
) -> Trained:
    """Fit blocks on the history before a cutoff and make a profile version of them.

    Of two processes that fit in one home the second waits, and finds the fits of the first.
    Deliveries land meanwhile; the fits are of the warehouse as it was when they began. Profiles are
    of all relevant clients, also where the fits learned from a sample of them.

    Parameters
    ----------
    home, names, cutoff, preset, seed, progress, skip, model, resume, as_delivered
        As in :func:`~ubp_platform.profile.fitting.fit_blocks`.
    refit_forgotten, clients_sample
        As there.
    profile : {"default", "paper"}
        Which blocks to fit where none are named.
    engine : Engine
        Where the clients are encoded; fits are made in this process.

    Returns
    -------
    Trained
    """
    among = profile_blocks(profile)
    select_blocks(names, skip, preset, seed, model, among)  # mistakes are named before any waiting
    with exclusive(home, "fit"), frozen(home) as copy:
        fits = fit_blocks(
            copy,
            names,
            cutoff=cutoff,
            preset=preset,
            seed=seed,
            progress=progress,
            among=among,
            skip=skip,
            model=model,
            resume=resume,
            as_delivered=as_delivered,
            refit_forgotten=refit_forgotten,
            clients_sample=clients_sample,
        )
        published = Served.read_if_whole(home)
        # A name that is online stays the name of what is online.
        taken = published.online if published else ()
        version = make_version(copy, fits, progress, taken=taken, engine=engine)
        warn_of_changes(copy, [fits.cutoff], "ubp train")
    return Trained(**vars(fits), profile=version)
