"""``ubp tag`` and ``ubp rollback``: naming profile versions, and serving an earlier one again."""

import warnings
from datetime import UTC, datetime

from ubp_platform.errors import UBPError
from ubp_platform.home import Home
from ubp_platform.locks import exclusive
from ubp_platform.profile.listing import get_version
from ubp_platform.profile.tags import read_tags, require_tag, write_tags
from ubp_platform.store.online import OnlineStore
from ubp_platform.store.served import Served
from ubp_platform.times import shown


def tag(home: Home, version: str, name: str) -> tuple[str, str]:
    """Give a profile version a name; return the version's own, and the one that had it before.

    Raises
    ------
    UBPError
        If there is no such version, or the name looks like a version.
    """
    require_tag(name)
    found = get_version(home, version).name
    with exclusive(home, "publish"):
        tags = read_tags(home)
        before = tags.get(name, "")
        write_tags(home, {**tags, name: found})
    return found, before


def untag(home: Home, name: str) -> None:
    """Remove a tag; raise UBPError if there is none of this name."""
    home.require()
    with exclusive(home, "publish"):
        tags = read_tags(home)
        if name not in tags:
            raise UBPError(f"there is no tag {name!r}; there are: {', '.join(tags) or 'none'}")
        write_tags(home, {one: version for one, version in tags.items() if one != name})


def rollback(home: Home, version: str) -> Served:
    """Serve a version again that is still online; nothing is written but the pointer.

    Parameters
    ----------
    home : Home
    version : str
        Its name, or a tag.

    Warns
    -----
    UserWarning
        If its profiles are older than those that were served.

    Raises
    ------
    UBPError
        If the version is not online any more, or the online store does not answer.
    """
    profile = get_version(home, version)
    with exclusive(home, "publish"):
        served = Served.read(home)
        if served is None:
            raise UBPError("nothing was ever published: run `ubp publish`")
        store = OnlineStore(home)
        served.require_store(store.kind)
        publication = store.publication(profile.name)
        if not (publication and publication.publish and publication.cutoff):
            others = ", ".join(served.online)
            raise UBPError(
                f"profile {profile.name} is not online; there are: {others}. `ubp publish "
                f"--profile-version {profile.name}` writes and serves it"
            )
        if publication.cutoff < datetime.fromisoformat(served.cutoff):
            warnings.warn(
                f"the profiles of {profile.name} are as of {shown(publication.cutoff)}, those "
                f"served until now as of {shown(datetime.fromisoformat(served.cutoff))}: "
                f"`ubp refresh --profile-version {profile.name} && "
                f"ubp publish --profile-version {profile.name}` brings them up to date",
                stacklevel=2,
            )
        now = served.model_copy(
            update={
                "version": profile.name,
                "cutoff": publication.cutoff.isoformat(),
                "identity": publication.made_from.history if publication.made_from else "",
                "clients": publication.clients,
                "published_at": datetime.now(UTC).isoformat(timespec="seconds"),
            }
        )
        now.write(home)
    return now
