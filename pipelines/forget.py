"""``ubp forget``: remove clients from everything that a home holds, and from the online store."""

import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import numpy as np

from ubp_platform.blocks.catalog import Catalog
from ubp_platform.blocks.embedding_cache import EmbeddingCache
from ubp_platform.blocks.snapshot import remove_clients
from ubp_platform.blocks.snapshot_files import revision_paths
from ubp_platform.client_list import read_clients
from ubp_platform.errors import DamagedFile, UBPError
from ubp_platform.files import clear_debris, discard
from ubp_platform.forgotten import Forgetting, Forgotten, Unfinished
from ubp_platform.home import Home
from ubp_platform.locks import alone
from ubp_platform.profile.listing import get_version
from ubp_platform.progress import ProgressFactory, logged
from ubp_platform.quality import DataDocs
from ubp_platform.store.entities import ClientId
from ubp_platform.store.objects import profile_view, text_ids
from ubp_platform.store.online import OnlineStore
from ubp_platform.store.served import Served
from ubp_platform.warehouse import Warehouse, forgetting, refusing


@dataclass
class Removed:
    """What ``ubp forget`` did.

    Parameters
    ----------
    clients : int
        Those of whom the home had something.
    asked : int
        Those who were named.
    rows : dict of str to int
        The number of rows that each table of the warehouse lost.
    snapshots : int
        The number of files with vectors that were written anew.
    fits : dict of str to int
        How many of the clients each fit may have learned from.
    resumed : bool
        Whether an interrupted run was finished first.
    """

    clients: int = 0
    asked: int = 0
    rows: dict[str, int] = field(default_factory=dict)
    snapshots: int = 0
    fits: dict[str, int] = field(default_factory=dict)
    resumed: bool = False


def forget(
    home: Home,
    client_ids: Sequence[str] = (),
    file: Path | None = None,
    *,
    allow_return: bool = False,
    progress: ProgressFactory = logged,
) -> Removed:
    """Remove clients; first those whom an interrupted run left.

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
    listed = [] if file is None else read_clients(file).tolist()
    with alone(home):
        result = Removed()
        if left := Unfinished.read(home):
            _carry_out(home, left, result, progress)
            result.resumed = True
        forgotten, named = Forgotten.read(home), np.array([*listed, *client_ids])
        with Warehouse(home.warehouse, wait=True) as warehouse:
            if not len(named):
                named = refusing.returned(warehouse.connection, forgotten)
            if not len(named):
                if left:
                    return result
                raise UBPError("nobody is named: give ids of clients, or --file FILE")
            unfinished = _begin(home, warehouse, named)
        (forgotten.allow if allow_return else forgotten.refuse)(unfinished.ids)
        # Before the names are written down, so that no rerun forgets that they are refused.
        forgotten.write(home)
        unfinished.write(home)
        result.asked += len(unfinished.client_ids)
        _carry_out(home, unfinished, result, progress)
    return result


def _begin(home: Home, warehouse: Warehouse, client_ids: np.ndarray) -> Unfinished:
    """Find the clients' keys, and count what is going to be removed."""
    translation = warehouse.identifiers("client_id")
    ids = np.unique(translation.require(client_ids))
    keys = translation.keys(ids)
    clients, first = forgetting.first_events(warehouse.connection, keys)
    fits = {}
    catalog = Catalog(home)
    for directory in sorted(home.blocks.glob("*")):
        for fit in catalog.versions(directory.name):
            cutoff = np.datetime64(fit.report.cutoff.astimezone(UTC).replace(tzinfo=None))
            if learned := int((first < cutoff).sum()):
                fits[f"{fit.name}/{fit.version}"] = learned
    entry = Forgetting(
        at=datetime.now(UTC),
        clients=len(clients),
        since=first.min().astype("datetime64[D]").item() if len(first) else None,
        fits=fits,
    )
    return Unfinished(client_ids=ids.tolist(), keys=keys.tolist(), entry=entry)


def _carry_out(
    home: Home, unfinished: Unfinished, result: Removed, progress: ProgressFactory
) -> None:
    """Remove the clients from one place after the other; all of it can be done twice."""
    ids, keys = unfinished.ids, np.array(unfinished.keys, np.int64)
    with progress("forget: warehouse", None, "files") as advance:
        with Warehouse(home.warehouse, write=True, wait=True) as warehouse:
            with warehouse.transaction():
                lost = forgetting.remove(warehouse.connection, keys, ids)
            warehouse.rewrite()
        advance(1)
    damaged: list[DamagedFile] = []
    steps = [*_files(home, ids, keys, result)]
    with progress("forget: files", len(steps), "files") as advance:
        for step in steps:
            try:
                step()
            except DamagedFile as error:
                damaged.append(error)
            advance(1)
    _remove_online(home, ids)
    if copies := clear_debris(home.root):
        warnings.warn(
            f"{len(copies)} files are in use by commands that began before, such as {copies[0]}: "
            "they may hold the clients until these commands end",
            stacklevel=3,
        )
    if damaged:
        raise DamagedFile(f"{damaged[0]}; then `ubp forget` finishes")
    unfinished.finish(home)
    for table, rows in lost.items():
        result.rows[table] = result.rows.get(table, 0) + rows
    result.clients += unfinished.entry.clients
    result.fits = {fit: n + result.fits.get(fit, 0) for fit, n in unfinished.entry.fits.items()}


def _files(
    home: Home, ids: np.ndarray, keys: np.ndarray, result: Removed
) -> Iterator[Callable[[], None]]:
    """Return what is to be done to each file of the home outside of the warehouse."""
    parents = (home.snapshots, home.profiles, home.evaluation / "profiles")
    directories = {path.parent for parent in parents for path in parent.rglob("*.parquet")}
    for directory in sorted(directories):
        for path in revision_paths(directory):

            def write_anew(path: Path = path) -> None:
                result.snapshots += remove_clients(path, ids) > 0

            yield write_anew
    # The factors of clients are a part of some fits' states.
    for path in sorted(home.checkpoints.glob("*/*.safetensors")):
        yield partial(discard, path)
    for path in sorted((home.scratch / "lm").glob("*.sqlite")):
        yield partial(_remove_cached, path, keys)
    yield DataDocs(home.data_docs).remove_examples


def _remove_cached(path: Path, keys: np.ndarray) -> None:
    try:
        with EmbeddingCache(path) as cache:
            cache.remove_clients(keys.tolist())
    except UBPError:  # damaged: it is created again
        discard(path)


def _remove_online(home: Home, ids: np.ndarray) -> None:
    """Remove the clients' rows of all versions and publishes."""
    served = Served.read(home)
    store = OnlineStore(home)
    if served:
        served.require_store(store.kind)
    elif store.kind != "sqlite" or not store.exists:
        return
    known: list[ClientId] = ids.tolist()
    lost = {}
    for name in served.online if served else ():
        publication = store.publication(name)
        if publication and publication.publish:
            version = get_version(home, name)
            view = profile_view(version, text_ids([version]), publication.table)
            lost[name] = sum(row is not None for row in store.read(view, known))
    store.remove_clients(known)
    for name, rows in lost.items():
        if rows and (publication := store.publication(name)):
            clients = publication.clients - rows
            store.announce(name, publication.model_copy(update={"clients": clients}))
            if served and name == served.version:
                served.model_copy(update={"clients": clients}).write(home)
