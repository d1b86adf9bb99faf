"""``ubp doctor``: is everything in a home what was written, and does it fit together?"""

import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from ubp_platform import files, sealed
from ubp_platform.blocks.catalog import Catalog, version_directories
from ubp_platform.blocks.fit_files import read_fit
from ubp_platform.blocks.snapshot_files import check_snapshot, revision_paths
from ubp_platform.errors import DamagedFile, UBPError, WarehouseBusy, WarehouseMissing
from ubp_platform.events.schema import TABLES
from ubp_platform.forgotten import Forgotten, Unfinished
from ubp_platform.home import Home
from ubp_platform.lake.manifest import CURE, Manifest
from ubp_platform.lake.opening import places_with_a_lake
from ubp_platform.names import remember
from ubp_platform.profile.listing import inspect_aligned, inspect_versions
from ubp_platform.profile.newest import newest_profiles
from ubp_platform.profile.tags import read_tags
from ubp_platform.profile.version import ProfileVersion
from ubp_platform.progress import ProgressFactory, logged
from ubp_platform.serving.keys import Keys
from ubp_platform.similar.directory import SimilarDirectory
from ubp_platform.store.configuration import published
from ubp_platform.store.feature_store import read_registry, write_configuration, write_registry
from ubp_platform.store.objects import profile_view, text_ids
from ubp_platform.store.online import OnlineStore
from ubp_platform.store.publication import Publication
from ubp_platform.store.publish_log import read_record, record_paths, served_files, served_over_time
from ubp_platform.store.publishing import difference, may_drop
from ubp_platform.store.served import Served
from ubp_platform.warehouse import Warehouse, refusing

# Less free space than this share of the home is too little for the next training or publish.
_FREE = 0.5


@dataclass(frozen=True)
class Finding:
    """Something that is wrong.

    Parameters
    ----------
    problem : str
        What is wrong, with the file or store, and what to do about it.
    repair : callable, optional
        Does it, where nothing can be lost.
    """

    problem: str
    repair: Callable[[], object] | None = None


def examine(home: Home, progress: ProgressFactory = logged) -> list[Finding]:
    """Check a home: permissions, debris, every file's checksum, references, the online store.

    Parameters
    ----------
    home : Home
    progress : ProgressFactory

    Returns
    -------
    list of Finding

    Raises
    ------
    UBPError
        If there is no home.
    """
    home.require()
    checks = (
        _place,
        _names,
        _forgotten,
        _warehouse,
        _lakes,
        _fits,
        _profiles,
        _tags,
        _results,
        _caches,
        _feast,
    )
    found: list[Finding] = []
    with progress("doctor", len(checks), "checks") as advance:
        for check in checks:
            try:
                found += check(home)
            except UBPError as error:
                found.append(Finding(str(error)))
            except OSError as error:
                found.append(Finding(f"{error.filename} cannot be read: {error.strerror}"))
            advance(1)
    return list({finding.problem: finding for finding in found}.values())


def repair(findings: list[Finding]) -> list[Finding]:
    """Repair what can be repaired without loss, and return the rest."""
    for finding in findings:
        if finding.repair:
            finding.repair()
    return [finding for finding in findings if not finding.repair]


def _place(home: Home) -> Iterator[Finding]:
    home.check()
    mode = home.root.stat().st_mode & 0o777
    if mode & 0o007:
        yield Finding(
            f"{home.root} can be read by everybody (mode {mode:o}): `chmod 700 {home.root}`",
            lambda: home.root.chmod(0o700),
        )
    for path in files.debris(home.root):
        yield Finding(
            f"{path}: left by a process that was killed, {files.size(path):,} bytes: remove it",
            lambda path=path: files.discard(path),  # type: ignore[misc]
        )
    free, used = shutil.disk_usage(home.root).free, files.size(home.root)
    if free < used * _FREE:
        yield Finding(
            f"{home.root}: the disk has {free / 1e9:.1f} GB left, the home has "
            f"{used / 1e9:.1f} GB: make room, or `ubp prune`"
        )


def _names(home: Home) -> Iterator[Finding]:
    blocks = [f"blocks/{path.name}" for path in home.blocks.glob("*")]
    for kind in ("profiles", "evaluation/profiles", *blocks):
        for directory in version_directories(home.root / kind):
            marker = home.root / "names" / kind / directory.name
            if not marker.exists():
                yield Finding(
                    f"{marker} is missing: record the name, or it could be given again when "
                    f"{directory} is removed",
                    lambda marker=marker: remember(marker),  # type: ignore[misc]
                )


def _forgotten(home: Home) -> Iterator[Finding]:
    Forgotten.read(home)
    if Unfinished.read(home):
        yield Finding("clients have not been forgotten everywhere: `ubp forget` finishes that")
    with suppress(WarehouseMissing, WarehouseBusy, DamagedFile), Warehouse(home.warehouse) as found:
        if clients := len(refusing.returned(found.connection, Forgotten.read(home))):
            yield Finding(
                f"forgotten clients are in the warehouse, from a backup maybe: {clients:,}; "
                "`ubp forget` removes them again"
            )


def _warehouse(home: Home) -> Iterator[Finding]:
    if not home.warehouse.exists() and any(home.blocks.glob("*/*")):
        yield Finding(
            f"{home.warehouse} is missing: restore it from a backup, or deliver everything again, "
            "in the same order, with `ubp ingest SOURCE`"
        )
    try:
        with Warehouse(home.warehouse) as warehouse:
            for table in TABLES:
                # Reads, and so checks, every block of the file.
                warehouse.connection.execute(f"SELECT bit_xor(hash(one)) FROM {table} AS one")  # noqa: S608
    except (WarehouseMissing, WarehouseBusy):
        return
    except DamagedFile as error:
        yield Finding(str(error))


def _lakes(home: Home) -> Iterator[Finding]:
    for place in places_with_a_lake(home):
        manifest = Manifest.read(place)
        for file in manifest.files if manifest else ():
            try:
                with place.reading(file.name) as path:
                    file.check(path)
            except FileNotFoundError:
                yield Finding(f"{place}/{file.name} is missing: {CURE}")
            except DamagedFile as error:
                yield Finding(str(error))


def _fits(home: Home) -> Iterator[Finding]:
    catalog = Catalog(home)
    for directory in sorted(home.blocks.glob("*")):
        fits, damaged = catalog.inspect(directory.name)
        yield from _named(damaged)
        for fit in fits:
            yield from _try(read_fit, fit.directory)
    for path in sorted(home.snapshots.glob("*/*/*.parquet")):
        yield from _try(check_snapshot, path)


def _profiles(home: Home) -> Iterator[Finding]:
    for directory in (home.profiles, home.evaluation / "profiles"):
        versions, damaged = inspect_versions(home, directory)
        if directory == home.profiles:
            aligned, broken = inspect_aligned(home)
            versions, damaged = [*versions, *aligned], [*damaged, *broken]
        yield from _named(damaged)
        for version in versions:
            yield from _try(lambda version: version.normalizers, version)
            yield from _try(lambda version: version.fits(home), version)
            for path in revision_paths(version.directory):
                yield from _try(partial(check_snapshot, fits=version.made_from), path)
            for path in record_paths(version):
                yield from _try(read_record, path)
            similar = SimilarDirectory(version)
            yield from _try(lambda _, similar=similar: similar.check(), similar.path)


def _tags(home: Home) -> Iterator[Finding]:
    yield from _try(lambda _: read_tags(home), home.profiles)
    yield from _try(lambda _: Keys.read(home), home.root)


def _results(home: Home) -> Iterator[Finding]:
    for path in sorted(home.evaluation.glob("*.json")):
        yield from _try(lambda path: sealed.check(path, "`ubp evaluate` writes it again"), path)
    for path in sorted(home.comparisons.glob("*.json")):
        cure = "remove it, `ubp compare` makes it again"
        yield from _try(lambda path: sealed.check(path, cure), path, path.unlink)  # noqa: B023
    for path in sorted((home.evaluation / "scores").glob("*.json")):
        cure = "remove it, `ubp evaluate` computes it again"
        yield from _try(lambda path: sealed.check(path, cure), path, path.unlink)  # noqa: B023


def _caches(home: Home) -> Iterator[Finding]:
    for path in sorted(home.checkpoints.glob("*/*.safetensors")):
        cure = "remove it; the fit starts again"
        yield from _try(lambda path: sealed.check(path, cure), path, path.unlink)  # noqa: B023
    for path in sorted(home.scratch.rglob("*.sqlite")):
        try:
            with closing(sqlite3.connect(path)) as connection:
                connection.execute("PRAGMA quick_check").fetchall()
        except sqlite3.DatabaseError as error:
            problem = f"{path} is damaged ({error}): remove it, it is only a cache"
            yield Finding(problem, path.unlink)


def _feast(home: Home) -> Iterator[Finding]:
    served = Served.read(home)
    if served is None:
        return
    versions, aligned = inspect_versions(home)[0], inspect_aligned(home)[0]
    known = {version.name: version for version in (*versions, *aligned)}
    if served.version not in known:
        yield Finding(
            f"{home.profiles / served.version} is missing, and served: restore it from a backup, "
            "or `ubp publish` another version"
        )
    store = OnlineStore(home)
    served.require_store(store.kind)
    yield from _configuration(home, served)
    for name in sorted(served.online.keys() & known.keys()):
        yield from _online(store, known[name], served)


def _configuration(home: Home, served: Served) -> Iterator[Finding]:
    cure = "`ubp publish` writes it again"
    path = published(home)
    yield from _try(lambda path: sealed.check(path, cure), path, lambda: write_configuration(home))
    if path.exists() and str(home.feast / "registry.db") not in path.read_text("utf-8"):
        problem = f"{path} is of a home in another place, from where this one was copied: {cure}"
        yield Finding(problem, lambda: write_configuration(home))
    publishes = {name: served.publishes.get(name, "") for name in served.online}
    if problem := read_registry(home, publishes):
        path = home.feast / "registry.db"
        yield Finding(f"{path} {problem}: {cure}", lambda: write_registry(home, publishes))


def _online(store: OnlineStore, version: ProfileVersion, served: Served) -> Iterator[Finding]:
    again = f"`ubp publish --all --profile-version {version.name}` writes it again"
    publication, newest = store.publication(version.name), version.snapshots[-1:]
    if publication is None or not publication.publish:
        yield Finding(f"profile {version.name} is not online in {store.where} any more: {again}")
    elif publication.table != served.publishes.get(version.name, publication.table):
        yield Finding(
            f"{store.where}: profile {version.name} is of the publish {publication.table}, but "
            f"{served.publishes[version.name]} was the last: is it a restored backup? {again}"
        )
    elif not newest or (publication.cutoff and newest[0].cutoff < publication.cutoff):
        yield Finding(
            f"{version.directory} lacks the profiles that are served, as of {publication.cutoff}: "
            f"restore them from a backup, or `ubp encode --profile-version {version.name}`"
        )
    elif problem := _differs(store, version, publication):
        yield Finding(f"{store.where}: profile {version.name}: {problem}: {again}")
    if policy := store.evicts:
        yield Finding(may_drop(store, policy))


def _differs(store: OnlineStore, version: ProfileVersion, publication: Publication) -> str:
    """Compare what is online with what was published, which may have been encoded again since."""
    records = served_over_time(version, publication)
    record = next((one for one in records if one.publish == publication.publish), None)
    if record is None and version.snapshots[-1].made_from != publication.made_from:
        return ""
    files = served_files(version, record) if record else version.snapshots
    view = profile_view(version, text_ids([version]), publication.table)
    return difference(store, view, partial(newest_profiles, files), publication.clients)


def _try(
    check: Callable[[Path], object] | Callable[[ProfileVersion], object],
    what: Path | ProfileVersion,
    repair: Callable[[], object] | None = None,
) -> Iterator[Finding]:
    try:
        check(what)  # type: ignore[arg-type]
    except DamagedFile as error:
        yield Finding(str(error), repair)


def _named(damaged: list[DamagedFile]) -> Iterator[Finding]:
    return (Finding(str(error)) for error in damaged)
