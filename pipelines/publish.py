"""``ubp publish``: register the Feast objects, and serve a profile version online."""

import warnings
from datetime import UTC, datetime

from pipelines.compare import Unhealthy, keep, require_healthy
from ubp_platform.engine.base import HERE, Engine
from ubp_platform.errors import UBPError
from ubp_platform.home import Home
from ubp_platform.locks import exclusive
from ubp_platform.profile.listing import aligned_versions, get_version, versions
from ubp_platform.profile.version import ProfileVersion, encoded_from
from ubp_platform.progress import ProgressFactory, logged
from ubp_platform.store.feature_store import write_configuration, write_registry
from ubp_platform.store.online import OnlineStore
from ubp_platform.store.publication import Publication
from ubp_platform.store.publishing import put_online, remove
from ubp_platform.store.served import Served
from ubp_platform.times import shown


def publish(
    home: Home,
    version: str | None = None,
    progress: ProgressFactory = logged,
    everybody: bool = False,
    if_healthy: bool = False,
    engine: Engine = HERE,
) -> Served:
    """Serve a profile version as of its newest cutoff.

    Beside it, the versions that map it into another version's space can be read by their names.

    An interrupted publish leaves what was served before served completely.

    Parameters
    ----------
    home : Home
    version : str, optional
        The newest by default.
    progress : ProgressFactory
    everybody : bool
        Write all profiles, also those that have not changed: this repairs the online store.
    if_healthy : bool
        First compare the profiles with those that are served, and keep the result in the home.
    engine : Engine
        From where profiles are written to a server such as Redis.

    Raises
    ------
    Unhealthy
        If they differ by more than the settings allow; nothing is published then.
    UBPError
        If there is no profile, or the online store does not answer.
    """
    home.check()
    # Nothing is encoded between what is written and what it is compared with.
    with exclusive(home, "encode"), exclusive(home, "publish"):
        profile = get_version(home, version)
        try:
            compared = require_healthy(home, profile, progress) if if_healthy else None
        except Unhealthy as stop:
            keep(home, stop.found)
            raise
        served = _publish(home, profile, progress, everybody, engine)
    if compared:
        keep(home, compared)
    return served


def _publish(
    home: Home,
    profile: ProfileVersion,
    progress: ProgressFactory,
    everybody: bool,
    engine: Engine,
) -> Served:
    snapshots = profile.snapshots
    if not snapshots:
        raise UBPError(f"profile {profile.name} has no snapshot: run `ubp encode --cutoff TIME`")
    newest = snapshots[-1]
    home.prepare()
    home.draw_identity()
    before = Served.read_if_whole(home)
    if before and newest.cutoff < datetime.fromisoformat(before.cutoff):
        warnings.warn(
            f"these profiles are as of {shown(newest.cutoff)}, older than the ones served until "
            f"now, of {shown(datetime.fromisoformat(before.cutoff))}: `ubp refresh` and `ubp "
            "publish` bring them up to date",
            stacklevel=2,
        )
    write_configuration(home)
    store = OnlineStore(home)
    published = put_online(home, store, profile, progress, everybody, engine)
    for one in aligned_versions(home, profile.name):
        if one.snapshots:
            put_online(home, store, one, progress, everybody, engine)
    if before and before.online_store == store.kind and profile.name in before.unnumbered:
        remove(store, profile, "")
    online = _online(home, store, before)
    write_registry(home, {name: one.table for name, one in online.items()})
    store.flush()
    served = Served(
        version=profile.name,
        online_store=store.kind,
        online={name: one.cutoff.isoformat() for name, one in online.items() if one.cutoff},
        publishes={name: one.table for name, one in online.items() if one.publish},
        cutoff=newest.cutoff.isoformat(),
        identity=encoded_from(home, profile, newest.cutoff),
        clients=published.clients,
        published_at=datetime.now(UTC).isoformat(timespec="seconds"),
    )
    served.write(home)
    return served


def _online(home: Home, store: OnlineStore, before: Served | None) -> dict[str, Publication]:
    """Ask the store what is online of all profile versions."""
    found = {}
    for version in [*versions(home), *aligned_versions(home)]:
        publication = store.publication(version.name)
        if publication and publication.publish:
            found[version.name] = publication
        elif before and before.online_store == store.kind and version.name in before.unnumbered:
            cutoff = datetime.fromisoformat(before.online[version.name])
            found[version.name] = Publication(cutoff=cutoff)
    return found
