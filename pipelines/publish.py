"""``ubp publish``: register the Feast objects, and serve a profile version online."""

import warnings
from datetime import UTC, datetime

from ubp_platform.errors import UBPError
from ubp_platform.files import restrict
from ubp_platform.home import Home
from ubp_platform.profile.version import encoded_from, get_version, newest_version
from ubp_platform.progress import ProgressFactory, logged
from ubp_platform.store.feature_store import open_feature_store, write_configuration
from ubp_platform.store.objects import feast_objects, profile_view_name
from ubp_platform.store.online import write_profiles
from ubp_platform.store.served import Served


def publish(home: Home, version: str | None = None, progress: ProgressFactory = logged) -> Served:
    """Serve a profile version as of its newest cutoff.

    The version's profiles go into their own table, and the pointer to the served version changes
    last: an interrupted publish leaves the previous version served completely.

    Parameters
    ----------
    home : Home
    version : str, optional
        The newest by default.
    progress : ProgressFactory

    Raises
    ------
    UBPError
        If there is no profile, or the online store does not answer.
    """
    profile = get_version(home, version) if version else newest_version(home)
    snapshots = profile.snapshots
    if not snapshots:
        raise UBPError(f"profile {profile.name} has no snapshot: run `ubp encode --cutoff TIME`")
    newest = snapshots[-1]
    before = Served.read(home)
    if before and newest.cutoff < datetime.fromisoformat(before.cutoff):
        warnings.warn(
            f"these profiles are as of {newest.cutoff}, older than the ones served until now, of "
            f"{before.cutoff}: run `ubp encode` and `ubp publish` to bring them up to date",
            stacklevel=2,
        )
    write_configuration(home)
    store = open_feature_store(home)
    store.apply(feast_objects(home))
    restrict(home.feast / "registry.db")
    write_profiles(store, profile_view_name(profile.name), newest, progress)
    cutoff = newest.cutoff.isoformat()
    kind = store.config.online_store.type
    others = before.online if before and before.online_store == kind else {}
    served = Served(
        version=profile.name,
        online_store=kind,
        online={**others, profile.name: cutoff},
        cutoff=cutoff,
        identity=encoded_from(home, profile, newest.cutoff),
        clients=newest.clients,
        published_at=datetime.now(UTC).isoformat(timespec="seconds"),
    )
    served.write(home)
    return served
