"""``ubp index``: the index of similar clients of a profile version."""

from collections.abc import Sequence

from ubp_platform.engine.base import HERE, Engine
from ubp_platform.errors import UBPError
from ubp_platform.home import Home
from ubp_platform.locks import exclusive
from ubp_platform.profile.listing import get_version
from ubp_platform.profile.version import ProfileVersion
from ubp_platform.progress import ProgressFactory, logged
from ubp_platform.similar.building import Builder, Built
from ubp_platform.store.online import OnlineStore
from ubp_platform.store.publish_log import served_files, served_over_time
from ubp_platform.store.served import Served
from ubp_platform.warehouse import Warehouse
from ubp_platform.warehouse.frozen import frozen


def index(
    home: Home,
    version: str | None = None,
    by: Sequence[str] = (),
    progress: ProgressFactory = logged,
    engine: Engine = HERE,
) -> Built:
    """Make the indexes of a version, or bring them up to what is online.

    Parameters
    ----------
    home : Home
    version : str, optional
        By default the version that is served.
    by : sequence of str
        Make a further index, by these blocks.
    progress : ProgressFactory
    engine : Engine
        Where vectors are put into groups and coded.

    Raises
    ------
    UBPError
        If the version is not online, or has no such block.
    """
    home.require()
    with exclusive(home, "encode"), exclusive(home, "publish"):
        served = Served.read(home)
        if served is None:
            raise UBPError("nothing has been published: run `ubp publish` first")
        profile = get_version(home, version or served.version)
        builder = _builder(home, profile, engine)
        if current := builder.current(by):
            return current
        with frozen(home) as copy, Warehouse(copy.warehouse) as warehouse:
            return builder.build(by, warehouse, progress)


def _builder(home: Home, version: ProfileVersion, engine: Engine) -> Builder:
    publication = OnlineStore(home).publication(version.name)
    records = served_over_time(version, publication)
    if not publication or not publication.publish or not records:
        raise UBPError(
            f"profile {version.name} is not online: `ubp publish --profile-version {version.name}`"
        )
    return Builder(version, publication.publish, served_files(version, records[-1]), engine)
