"""``ubp refresh``: take a delivery in at the cost of what is new."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from pipelines.encode import encode
from ubp_platform.engine.base import HERE, Engine
from ubp_platform.errors import UBPError
from ubp_platform.home import Home
from ubp_platform.locks import exclusive
from ubp_platform.profile import refreshing
from ubp_platform.profile.encoding import known_cutoff
from ubp_platform.profile.listing import aligned_versions, get_version
from ubp_platform.profile.version import ProfileVersion
from ubp_platform.progress import ProgressFactory, logged
from ubp_platform.warehouse import Warehouse
from ubp_platform.warehouse.frozen import frozen, warn_of_changes

#: How old the profile of a client may get of whom nothing new is known.
MAX_AGE = timedelta(days=7)


@dataclass(frozen=True)
class Refreshed:
    """What ``ubp refresh`` did.

    Parameters
    ----------
    version : ProfileVersion
    cutoff : datetime
    clients : int
        Those with a new profile.
    others : int
        Those who keep theirs.
    whole : bool
        Whether all had to be encoded.
    why : str
        Why, if they had.
    """

    version: ProfileVersion
    cutoff: datetime
    clients: int
    others: int
    whole: bool = False
    why: str = ""


def refresh(
    home: Home,
    version: str | None = None,
    cutoff: datetime | None = None,
    max_age: timedelta = MAX_AGE,
    progress: ProgressFactory = logged,
    engine: Engine = HERE,
) -> Refreshed:
    """Encode the clients of whom something new is known, and those whose profiles are old.

    Parameters
    ----------
    home : Home
    version : str, optional
        The newest by default, as for the publish that follows.
    cutoff : datetime, optional
        The newest instant up to which the log is complete by default.
    max_age : timedelta
        From this age on, a profile is encoded again in any case.
    progress : ProgressFactory
    engine : Engine
        Where the clients are encoded.

    Raises
    ------
    UBPError
        If the version has profiles of a later cutoff, or is aligned with another one: it is
        refreshed with the version that it maps.
    """
    if max_age <= timedelta(0):
        raise UBPError("--max-age is a number of days above 0")
    with exclusive(home, "encode"):
        profile = get_version(home, version)
        if profile.source:
            raise UBPError(
                f"profile {profile.name} is mapped from {profile.source.name}: `ubp refresh "
                f"--profile-version {profile.source.name}` refreshes both"
            )
        wanted = [profile, *aligned_versions(home, profile.name)]
        with frozen(home) as copy, Warehouse(copy.warehouse) as warehouse:
            at = known_cutoff(warehouse, cutoff)
            found = [refreshing.due(warehouse, one, at, max_age) for one in wanted]
            plans = [one for one in found if one is not None]
            why = "it is not known what is new"
            if len(plans) == len(wanted):
                plan = refreshing.together(plans)
                # Once most are due, one snapshot of all is worth its cost.
                why = "most are due: they have new events, or a profile as old as --max-age"
                if len(plan.clients) <= plan.others:
                    written = refreshing.refresh(
                        copy, warehouse, wanted, at, plan, progress, engine
                    )
                    warn_of_changes(copy, [at], "ubp refresh")
                    return Refreshed(profile, at, written, plan.others)
    _, encoded = encode(home, [at], profile.name, progress, engine=engine)
    return Refreshed(profile, at, encoded[0].version.snapshots[-1].clients, 0, True, why)
