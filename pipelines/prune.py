"""``ubp prune``: remove what nothing reads any more."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from pipelines.compare import comparisons, record_path
from ubp_platform import files
from ubp_platform.blocks.catalog import Catalog, version_directories
from ubp_platform.blocks.snapshot_files import describe_snapshot, revision_paths
from ubp_platform.errors import UBPError
from ubp_platform.evaluation.last import last_profile
from ubp_platform.home import Home
from ubp_platform.locks import exclusive
from ubp_platform.profile.listing import aligned_directories, aligned_versions, versions
from ubp_platform.profile.tags import read_tags
from ubp_platform.profile.version import ProfileVersion
from ubp_platform.progress import ProgressFactory, logged
from ubp_platform.store.feature_store import write_registry
from ubp_platform.store.online import OnlineStore
from ubp_platform.store.publication import Publication
from ubp_platform.store.publish_log import ever_served
from ubp_platform.store.publishing import remove
from ubp_platform.store.served import Served


@dataclass(frozen=True)
class Removal:
    """Something to remove.

    Parameters
    ----------
    what : str
    bytes : int
    remove : callable
    """

    what: str
    bytes: int
    remove: Callable[[], object]


def plan(home: Home, keep: int) -> list[Removal]:
    """List what can be removed.

    Parameters
    ----------
    home : Home
    keep : int
        The number of newest profile versions that stay; those served or tagged always do.

    Returns
    -------
    list of Removal
        In the order in which it is to be removed.

    Raises
    ------
    UBPError
        If ``keep`` is below 1, or a file that says what is in use is damaged.
    """
    if keep < 1:
        raise UBPError(f"--keep {keep}: at least one profile version stays")
    served = Served.read(home)
    if served:
        served.require_store(OnlineStore(home).kind)
    all_versions = [path.name for path in version_directories(home.profiles)]
    # A version that is mapped from another one stays and goes with it.
    named = [*read_tags(home).values(), *([served.version] if served else [])]
    kept = {*all_versions[-keep:], *map(_mapped_from, named)}
    existing = [*versions(home), *aligned_versions(home)]
    if len(existing) < len(all_versions) + len(aligned_directories(home)):
        raise UBPError("a profile version is damaged: see `ubp doctor`, nothing was removed")
    evaluated = versions(home, home.evaluation / "profiles")
    last = last_profile(home)
    going = [one for one in existing if _mapped_from(one.name) not in kept]
    staying = [one for one in existing if _mapped_from(one.name) in kept]
    scored = [one for one in evaluated if one.name == last]
    return [
        *(_version(home, one, served) for one in going),
        *_former(home, staying, served),
        *(_directory(path) for version in [*staying, *scored] for path in _superseded(version)),
        *(_directory(one.directory) for one in evaluated if one.name != last),
        *_fits(home, [*staying, *scored]),
        *_checkpoints(home),
        *_comparisons(home, {one.name for one in staying}),
        *(_directory(path) for path in files.debris(home.root)),
    ]


def discard_beyond(
    home: Home, until: datetime | None, made_before: datetime | None = None
) -> list[Path]:
    """Remove snapshots of later cutoffs that no publish has read, and return their paths.

    Parameters
    ----------
    home : Home
    until : datetime, optional
        Up to when the log is complete; nothing is removed if it is not known.
    made_before : datetime, optional
        Keep what was encoded later.
    """
    found = []
    with exclusive(home, "encode"):
        for version in [*versions(home), *aligned_versions(home)]:
            served = ever_served(version)
            for path in revision_paths(version.directory):
                file = describe_snapshot(path)
                if made_before and file.created and file.created >= made_before:
                    continue
                if until and file.cutoff > until and not any(one.is_of(file) for one in served):
                    files.discard(path)
                    found.append(path)
    return found


def prune(home: Home, removals: list[Removal], progress: ProgressFactory = logged) -> None:
    """Remove what was listed, bring Feast's objects up to date, and shrink SQLite's file."""
    served = Served.read(home)
    with progress("prune", len(removals), "items") as advance:
        for removal in removals:
            removal.remove()
            advance(1)
    if served:
        directories = [*version_directories(home.profiles), *aligned_directories(home)]
        names = {path.name for path in directories}
        served.online = {one: at for one, at in served.online.items() if one in names}
        served.publishes = {one: at for one, at in served.publishes.items() if one in names}
        served.write(home)
        write_registry(home, {one: served.publishes.get(one, "") for one in served.online})
        OnlineStore(home).shrink()


def _mapped_from(name: str) -> str:
    return name.partition("@")[0]


def _directory(path: Path) -> Removal:
    return Removal(str(path), files.size(path), lambda: files.discard(path))


def _version(home: Home, version: ProfileVersion, served: Served | None) -> Removal:
    """Remove a profile version: first from the online store, then its files."""

    def go() -> None:
        if served and version.name in served.online:
            store = OnlineStore(home)
            state = store.publication(version.name) or Publication()
            leaving = sorted({state.publish, state.base, *state.former} - {""})
            store.announce(version.name, Publication(leaving=leaving))
            for publish in leaving:
                remove(store, version, publish)
            store.announce(version.name, Publication())
        files.discard(version.directory)

    online = " and its rows online" if served and version.name in served.online else ""
    return Removal(f"{version.directory}{online}", files.size(version.directory), go)


def _comparisons(home: Home, staying: set[str]) -> Iterator[Removal]:
    """Remove comparisons with versions that are gone, and their pictures."""
    for found in comparisons(home):
        if not {found.a.version, found.b.version} <= staying:
            path = record_path(home, found)
            yield from map(_directory, (path.with_suffix(".png"), path))


def _former(home: Home, staying: list[ProfileVersion], served: Served | None) -> Iterator[Removal]:
    """Remove publishes that were replaced."""
    if served is None:
        return
    store = OnlineStore(home)
    for version in staying:
        state = store.publication(version.name)
        for publish in state.former if state else ():

            def go(version: ProfileVersion = version, publish: str = publish) -> None:
                now = store.publication(version.name) or Publication()
                leaving = {"previous": "", "unfinished": "", "leaving": now.former}
                store.announce(version.name, now.model_copy(update=leaving))
                remove(store, version, publish)
                done = {"leaving": [one for one in now.former if one != publish]}
                store.announce(version.name, now.model_copy(update=leaving | done))

            yield Removal(f"publish {publish} of {version.name} in {store.where}", 0, go)


def _superseded(version: ProfileVersion) -> Iterator[Path]:
    """Return the revisions of snapshots that were replaced and that no publish has read."""
    served = ever_served(version)
    newest = {snapshot.path for snapshot in version.snapshots}
    for snapshot in map(describe_snapshot, revision_paths(version.directory)):
        if snapshot.path not in newest and not any(one.is_of(snapshot) for one in served):
            yield snapshot.path


def _fits(home: Home, staying: list[ProfileVersion]) -> Iterator[Removal]:
    """Remove fits that belong to no profile, and snapshots that belong to no fit."""
    used = {(fit.name, fit.version) for version in staying for fit in version.fits(home)}
    newest = {
        (fit.name, fit.version)
        for directory in home.blocks.glob("*")
        if (fit := Catalog(home).newest(directory.name))
    }
    for parent in (home.blocks, home.snapshots):
        for block in sorted(parent.glob("*")):
            for path in version_directories(block):
                if (block.name, path.name) not in used | newest:
                    yield _directory(path)


def _checkpoints(home: Home) -> Iterator[Removal]:
    """Remove the states of fits that were given up: the block has been fitted since."""
    for block in sorted(home.checkpoints.glob("*")):
        fits, _ = Catalog(home).inspect(block.name)
        fitted = [fit.directory.stat().st_mtime for fit in fits if fit.report.complete]
        for path in sorted(block.glob("*.safetensors")):
            if path.stat().st_mtime < max(fitted, default=0):
                yield _directory(path)
