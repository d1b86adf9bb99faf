"""``ubp compare``: how the profiles of one version or cutoff differ from those of another."""

from datetime import datetime
from pathlib import Path

from ubp_platform import sealed
from ubp_platform.drift.comparison import Comparison
from ubp_platform.drift.comparison import compare as compare_sides
from ubp_platform.drift.limits import Crossed, Limits
from ubp_platform.drift.sides import Side, at, blocks_in_one_space, cutoffs_of
from ubp_platform.errors import UBPError, WarehouseMissing
from ubp_platform.files import atomic_file, make_directory, write_text
from ubp_platform.home import Home
from ubp_platform.profile.listing import aligned_name, get_version, named_versions
from ubp_platform.profile.version import ProfileVersion
from ubp_platform.progress import ProgressFactory, logged
from ubp_platform.store.publish_log import served_files, served_over_time
from ubp_platform.store.served import Served
from ubp_platform.times import parse_time, time_stem
from ubp_platform.warehouse import Warehouse
from ubp_platform.warehouse.gaps import gaps


def compare(home: Home, a: str, b: str, progress: ProgressFactory = logged) -> Comparison:
    """Compare two sides, and keep the result in the home, with a picture.

    Parameters
    ----------
    home : Home
    a, b : str
        ``VERSION``, ``CUTOFF`` (of the served version, else the newest) or ``VERSION/CUTOFF``. A
        version without a cutoff takes the newest cutoff that both have, else its newest.
    progress : ProgressFactory

    Raises
    ------
    UBPError
        If there is no such version or snapshot.
    """
    home.require()
    limits = Limits.load()
    found = with_log(home, *sides(home, a, b), limits, progress)
    keep(home, found)
    return found


def with_log(home: Home, a: Side, b: Side, limits: Limits, progress: ProgressFactory) -> Comparison:
    """Compare two sides, and look for days that are missing in what B knows and A did not."""
    found = compare_sides(home, a, b, limits, progress)
    try:
        with Warehouse(home.warehouse, wait=True) as warehouse:
            before, now = (gaps(warehouse.connection, side.cutoff, limits.gap) for side in (a, b))
    except WarehouseMissing:
        return found
    crossed = [
        Crossed(block=gap.table, measure="gap", value=gap.days, limit=limits.gap * gap.usual)
        for gap in now
        if gap.end > a.cutoff and gap.start not in {one.start for one in before}
    ]
    return found.model_copy(update={"crossed": [*crossed, *found.crossed]})


def sides(home: Home, a: str, b: str) -> tuple[Side, Side]:
    """Find what two arguments name; see :func:`compare`.

    Raises
    ------
    UBPError
        If there is no such version or snapshot.
    """
    (a_version, a_time), (b_version, b_time) = (_parse(home, text) for text in (a, b))
    own = [cutoffs_of(version.snapshots) for version in (a_version, b_version)]
    # What one side names, or else all that it has, is what the other one may share with it.
    a_has, b_has = (
        [time] if time else all_ for time, all_ in zip((a_time, b_time), own, strict=True)
    )
    both = max(set(a_has) & set(b_has), default=None)
    return at(a_version, a_time or both), at(b_version, b_time or both)


def _parse(home: Home, text: str) -> tuple[ProfileVersion, datetime | None]:
    version, slash, cutoff = text.partition("/")
    if slash:
        return get_version(home, version), parse_time(cutoff)
    known = named_versions(home)
    if text in known:
        return get_version(home, text), None
    try:
        time = parse_time(text)
    except UBPError:
        names = ", ".join(known) or "none yet"
        raise UBPError(
            f"{text!r} is neither a profile version ({names}) nor a time; write VERSION, CUTOFF or "
            "VERSION/CUTOFF, such as v1, 2017-12-18 or v1/2017-12-18"
        ) from None
    served = Served.read(home)
    return get_version(home, served.version if served else None), time


class Unhealthy(UBPError):
    """What would be published differs too much from what is served.

    Parameters
    ----------
    found : Comparison
    """

    def __init__(self, found: Comparison) -> None:
        super().__init__(f"profile {found.b.version} is not healthy, nothing was published")
        self.found = found


def require_healthy(
    home: Home, profile: ProfileVersion, progress: ProgressFactory = logged
) -> Comparison | None:
    """Compare what would be published with what is served now; write nothing.

    Of a version in another space, the version is compared that maps it into the served one's.

    Returns
    -------
    Comparison or None
        None if nothing is served, or nothing would change.

    Raises
    ------
    Unhealthy
        If a limit is crossed.
    UBPError
        If the two are in different spaces.
    """
    limits, old = Limits.load(), served_side(home)
    if old is None:
        return None
    candidate = _comparable(home, old.version, profile)
    new = Side.of(candidate, candidate.snapshots)
    if [file.path for file in new.files] == [file.path for file in old.files]:
        return None
    found = with_log(home, old, new, limits, progress)
    if found.crossed:
        raise Unhealthy(found)
    return found


def served_side(home: Home) -> Side | None:
    """Return the profiles that are served now; None if none are.

    Raises
    ------
    UBPError
        If it is damaged which these are, or one of their files is gone.
    """
    served = Served.read(home)
    if served is None:
        return None
    version = get_version(home, served.version)
    records = served_over_time(version, None)
    if not records:  # of an earlier release
        return at(version, datetime.fromisoformat(served.cutoff))
    return Side.of(version, served_files(version, records[-1]))


def _comparable(home: Home, served: ProfileVersion, profile: ProfileVersion) -> ProfileVersion:
    """Return the version itself, or the one that maps it into the space of the served one."""
    ours, theirs = ({part.block for part in one.parts} for one in (served, profile))
    if ours & theirs and ours & theirs <= blocks_in_one_space(served, profile):
        return profile
    aligned = served.description.aligned
    to = aligned.to if aligned else served.name
    name = aligned_name(profile.name, to)
    if name in named_versions(home):
        return get_version(home, name)
    raise UBPError(
        f"profile {profile.name} is in another space than {served.name}, which is served: "
        f"`ubp align {profile.name} --to {to}` makes {name}, by which it can be compared; or "
        "publish without --if-healthy"
    )


def keep(home: Home, found: Comparison) -> Path:
    """Write a comparison into the home, and its picture beside it; replaces the one before."""
    from ubp_platform.report.drift_picture import draw_comparison

    path = record_path(home, found)
    make_directory(path.parent)
    write_text(path, sealed.sealed_json(found))
    with atomic_file(path.with_suffix(".png")) as temporary:
        draw_comparison(found, temporary)
    return path


def record_path(home: Home, found: Comparison) -> Path:
    """Return where a comparison is kept."""
    names = (f"{side.version}_{time_stem(side.cutoff)}" for side in (found.a, found.b))
    return home.comparisons / f"{'--'.join(names)}.json"


def comparisons(home: Home) -> list[Comparison]:
    """Return the comparisons that were kept, newest first; damaged ones are left out."""
    found, _ = sealed.sort_out(home.comparisons.glob("*.json"), read_comparison)
    return sorted(found, key=lambda one: one.made_at, reverse=True)


def read_comparison(path: Path) -> Comparison:
    """Read a comparison that was kept; raise DamagedFile if it is damaged."""
    return sealed.read_json(path, Comparison, "remove it, `ubp compare` makes it again")
