"""``ubp forget``: remove clients from everything that a home holds, and from the online store."""

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from ubp_platform.blocks.catalog import Catalog
from ubp_platform.blocks.embedding_cache import EmbeddingCache
from ubp_platform.blocks.snapshot import remove_clients
from ubp_platform.client_list import read_clients
from ubp_platform.engine.parcel import private_parent
from ubp_platform.errors import DamagedFile, UBPError
from ubp_platform.events.integer_ids import integer_of
from ubp_platform.files import clear_debris, discard
from ubp_platform.forgotten import Forgetting, Forgotten, Unfinished
from ubp_platform.home import Home
from ubp_platform.lake.opening import write_again
from ubp_platform.locks import alone
from ubp_platform.profile.listing import get_version
from ubp_platform.profile.version import ProfileVersion
from ubp_platform.progress import ProgressFactory, logged
from ubp_platform.quality import DataDocs
from ubp_platform.similar.building import remove_clients as remove_from_index
from ubp_platform.store.entities import ClientId
from ubp_platform.store.objects import profile_view, text_ids
from ubp_platform.store.online import OnlineStore
from ubp_platform.store.served import Served
from ubp_platform.warehouse import Warehouse, forgetting, refusing


@dataclass
class Removed:
    """What ``ubp forget`` did, with an interrupted run that it finished.

    Parameters
    ----------
    asked : int
        Those who were named.
    clients : int
        Those with events, without those who had been forgotten before.
    rows : dict of str to int
        The number of rows that each table of the warehouse lost.
    snapshots : int
        The number of files with vectors that were written anew.
    fits : dict of str to int
        How many of the clients each fit may have learned from.
    nothing_of : list of str
        Of whom nothing was found.
    resumed : bool
        Whether an interrupted run was finished.
    before : int
        Of those who were named, how many had been forgotten before.
    may_return : bool
        Whether deliveries of those who were named are taken in from now on.
    """

    asked: int = 0
    clients: int = 0
    rows: dict[str, int] = field(default_factory=dict)
    snapshots: int = 0
    fits: dict[str, int] = field(default_factory=dict)
    nothing_of: list[str] = field(default_factory=list)
    resumed: bool = False
    before: int = 0
    may_return: bool = False


def forget(
    home: Home,
    client_ids: Sequence[str] = (),
    file: Path | None = None,
    *,
    allow_return: bool = False,
    progress: ProgressFactory = logged,
) -> Removed:
    """Remove clients, and those whom an interrupted run left.

    Where nobody is named: forgotten clients whom a backup brought back.

    Nothing else is evaluated, fitted, encoded or published meanwhile. A run that was killed is
    finished by the next one.

    Parameters
    ----------
    home : Home
    client_ids : sequence of str
        The shop's ids.
    file : Path, optional
        A list of clients, as for :func:`~ubp_platform.client_list.read_clients`.
    allow_return : bool
        Take deliveries of these clients in again; they are refused otherwise.
    progress : ProgressFactory

    Warns
    -----
    UserWarning
        If another process still holds a copy that it began before.

    Raises
    ------
    UBPError
        If nobody is named, an id is not of the shop's kind, or a store cannot remove clients.
    DamagedFile
        If a file is damaged, so that nobody can tell who is in it; the next run goes on.
    """
    listed = [] if file is None else [str(one) for one in read_clients(file).tolist()]
    named = _checked([*listed, *client_ids])
    with alone(home):
        left, forgotten = Unfinished.read(home), Forgotten.read(home)
        with _warehouse(home) as warehouse:
            if not named and warehouse:
                named = refusing.returned(warehouse.connection, forgotten)
            if not named and not left:
                raise UBPError("nobody is named: give ids of clients, or --file FILE")
            unfinished = _begin(home, warehouse, named, forgotten).together(left)
            known = {*(forgetting.known(warehouse.connection, named) if warehouse else ())}
        before = int(forgotten.is_refused(np.array(named)).sum()) if named else 0
        # Before the names are written down, so that no rerun forgets that they are refused.
        (forgotten.allow if allow_return else forgotten.refuse)(named)
        forgotten.write(home)
        unfinished.write(home)
        result = Removed(len(unfinished.client_ids), resumed=left is not None)
        result.before, result.may_return = before, allow_return
        result.nothing_of = [one for one in named if one not in known]
        _carry_out(home, unfinished, result, progress)
    return result


def _checked(client_ids: list[str]) -> list[str]:
    """Check and sort ids, each once; raise UBPError if one is empty or no text."""
    for one in client_ids:
        if not one.strip():
            raise UBPError("an id is empty: is a variable of the shell not set?")
        if not one.isprintable():
            raise UBPError(f"the id {one!r} has characters that cannot be printed")
    return sorted({*client_ids})


@contextmanager
def _warehouse(home: Home) -> Iterator[Warehouse | None]:
    """Open the warehouse for reading, if there is one."""
    if not home.warehouse.exists():
        yield None
        return
    with Warehouse(home.warehouse, wait=True) as warehouse:
        yield warehouse


def _begin(
    home: Home, warehouse: Warehouse | None, client_ids: list[str], forgotten: Forgotten
) -> Unfinished:
    """Count what is going to be removed of clients who were not forgotten before."""
    entry = Forgetting(at=datetime.now(UTC))
    if client_ids and warehouse:
        connection = warehouse.connection
        _, first = forgetting.first_events(connection, forgetting.keys_of(connection, client_ids))
        entry.since = first.min().astype("datetime64[D]").item() if len(first) else None
        refused = forgotten.is_refused(np.array(client_ids))
        new = [one for one, before in zip(client_ids, refused, strict=True) if not before]
        _, first = forgetting.first_events(connection, forgetting.keys_of(connection, new))
        entry.clients, entry.fits = len(first), _learned(home, first)
    return Unfinished(client_ids=client_ids, entry=entry)


def _learned(home: Home, first: np.ndarray) -> dict[str, int]:
    """Count the clients whose first event is before each fit's cutoff."""
    catalog, found = Catalog(home), {}
    for directory in sorted(home.blocks.glob("*")):
        for fit in catalog.versions(directory.name):
            cutoff = np.datetime64(fit.report.cutoff.astimezone(UTC).replace(tzinfo=None))
            if learned := int((first < cutoff).sum()):
                found[f"{fit.name}/{fit.version}"] = learned
    return found


def _carry_out(
    home: Home, unfinished: Unfinished, result: Removed, progress: ProgressFactory
) -> None:
    """Remove the clients from one place after the other; all of it can be done twice."""
    ids, served = unfinished.client_ids, Served.read(home)
    if served:
        served.require_store(OnlineStore(home).kind)
    keys, lakes = np.empty(0, np.int64), list[UBPError]()
    if home.warehouse.exists():
        with progress("forget: warehouse", None, "files") as advance:
            with Warehouse(home.warehouse, write=True, wait=True) as warehouse:
                with warehouse.transaction():
                    keys = forgetting.keys_of(warehouse.connection, ids)
                    lost = forgetting.remove(warehouse.connection, keys, ids)
                    unfinished.rows = _sum(unfinished.rows, lost)
                    unfinished.write(home)
                warehouse.rewrite()
            advance(1)
        with Warehouse(home.warehouse, wait=True) as warehouse:
            lakes = write_again(home, warehouse, progress)
        with suppress(OSError):  # another process tidies up at the same time
            clear_debris(private_parent())
        if home.unfinished_buckets.exists():
            discard(home.unfinished_buckets)
    found, damaged = _write_files(home, ids, keys, result, progress)
    _remove_online(home, ids, served)
    if copies := clear_debris(home.root):
        warnings.warn(
            f"{len(copies)} files are in use by commands that began before, such as {copies[0]}: "
            "they may hold the clients until these commands end",
            stacklevel=3,
        )
    if lakes:
        raise UBPError(f"{lakes[0]}; then `ubp forget` finishes")
    if damaged:
        raise DamagedFile(f"{damaged[0]}; then `ubp forget` finishes")
    unfinished.finish(home)
    result.rows, result.fits = unfinished.rows, unfinished.entry.fits
    result.clients = unfinished.entry.clients
    result.nothing_of = [one for one in result.nothing_of if one not in found]


def _sum(rows: dict[str, int], more: dict[str, int]) -> dict[str, int]:
    return {name: rows.get(name, 0) + more.get(name, 0) for name in {**rows, **more}}


def _write_files(
    home: Home, ids: list[str], keys: np.ndarray, result: Removed, progress: ProgressFactory
) -> tuple[set[str], list[DamagedFile]]:
    """Remove the clients from each file; return who was in any, and what is damaged."""
    found: set[str] = set()
    damaged: list[DamagedFile] = []
    parents = (home.snapshots, home.profiles, home.evaluation / "profiles")
    snapshots = sorted(path for parent in parents for path in parent.rglob("*.parquet"))
    # The factors of clients are a part of some fits' states.
    states = sorted(home.checkpoints.glob("*/*.safetensors"))
    caches = sorted((home.scratch / "lm").glob("*.sqlite"))
    indexes = [directory.parent for directory in home.profiles.glob("*/similar")]
    count = len(snapshots) + len(states) + len(caches) + len(indexes) + 1
    with progress("forget: files", count, "files") as advance:
        for path in snapshots:
            try:
                there = remove_clients(path, ids)
            except DamagedFile as error:
                damaged.append(error)
            else:
                found.update(there)
                result.snapshots += bool(there)
            advance(1)
        for path in indexes:
            try:
                there = remove_from_index(ProfileVersion.load(path), ids)
            except DamagedFile as error:
                damaged.append(error)
            else:
                found.update(there)
            advance(1)
        for path in states:
            discard(path)
            advance(1)
        for path in caches:
            _remove_cached(path, keys)
            advance(1)
        DataDocs(home.data_docs).remove_examples()
        advance(1)
    return found, damaged


def _remove_cached(path: Path, keys: np.ndarray) -> None:
    try:
        with EmbeddingCache(path) as cache:
            cache.remove_clients(keys.tolist())
    except UBPError:  # damaged: it is created again
        discard(path)
        discard(path.with_name(f"{path.name}-journal"))


def _remove_online(home: Home, ids: list[str], served: Served | None) -> None:
    """Remove the clients' rows of all versions and publishes, begun ones too."""
    store = OnlineStore(home)
    begun = (home.root / "names" / "publishes").exists()
    if not store.exists or not (served or begun):
        return
    # Rows are found by ids of either kind; a shop has one.
    known: list[ClientId] = [*ids, *_numbers(ids)]
    before = _online(home, store, served, ids)
    store.remove_clients(known)
    after = _online(home, store, served, ids)
    for name, rows in before.items():
        lost = rows - after.get(name, rows)
        if lost and served and (publication := store.publication(name)):
            clients = publication.clients - lost
            store.announce(name, publication.model_copy(update={"clients": clients}))
            if name == served.version:
                served.model_copy(update={"clients": clients}).write(home)


def _numbers(ids: list[str]) -> list[int]:
    return [number for number in map(integer_of, ids) if number is not None]


def _online(
    home: Home, store: OnlineStore, served: Served | None, ids: list[str]
) -> dict[str, int]:
    """Count the rows of each version that are online: these clients' (Redis), or all (SQLite)."""
    found = {}
    for name in served.online if served else ():
        publication = store.publication(name)
        if publication and publication.publish and (home.profiles / name).exists():
            version = get_version(home, name)
            is_text = text_ids([version])
            keys: list[ClientId] = [*(ids if is_text else _numbers(ids))]
            view = profile_view(version, is_text, publication.table)
            if (rows := store.count(view, [keys] if keys else [])) is not None:
                found[name] = rows
    return found
