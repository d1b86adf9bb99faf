"""Simulated event logs of any size, in the ``challenge`` layout, for trying the platform out.

The log ends at :data:`END`, whatever its length. Clients are drawn in chunks with independent
random numbers, and each chunk is a row group of every file, so that memory does not grow with the
number of clients. ``docs/reference/simulator.md`` explains what is simulated.
"""

from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ubp_platform.errors import UBPError
from ubp_platform.events.schema import CODES, EVENT_TYPES, EVENTS, PRODUCTS, TABLES, Kind, Table
from ubp_platform.files import move_into, sync_tree, temporary_directory
from ubp_platform.layouts import RELEVANT_CLIENTS
from ubp_platform.progress import ProgressFactory, logged
from ubp_platform.simulation.catalogue import SECONDS_PER_DAY, Catalogue, draw_catalogue
from ubp_platform.simulation.clients import draw_clients
from ubp_platform.simulation.sessions import Columns, draw_events
from ubp_platform.simulation.shop import MAX_DAYS, Shop

#: A Monday; the first instant after every simulated log.
END = datetime(2022, 11, 28, tzinfo=UTC)
# Approximate size of a chunk, whose arrays take some hundred megabytes.
_CHUNK_EVENTS = 500_000

_ARROW: dict[Kind, pa.DataType] = {
    "id": pa.int64(),
    "price": pa.int64(),
    "time": pa.timestamp("us"),
    "codes": pa.list_(pa.uint8()),
}


@dataclass(frozen=True)
class SimulatedFile:
    """A file that was written.

    Parameters
    ----------
    path : Path
    rows : int
    clients : int, optional
        Clients with rows in it; None for the product properties.
    """

    path: Path
    rows: int
    clients: int | None


def simulate(
    directory: Path,
    clients: int,
    days: int,
    seed: int = 0,
    shop: Shop | None = None,
    progress: ProgressFactory = logged,
    relevant: int = 0,
) -> list[SimulatedFile]:
    """Write the event log of a simulated shop.

    Equal arguments produce equal bytes with the same versions of numpy and pyarrow and the same
    kind of processor.

    Parameters
    ----------
    directory : Path
        For one Parquet file per table, which all appear at the end; created if missing.
    clients : int
        Their ids are 1 to this.
    days : int
        Length of the log, up to :data:`END`.
    seed : int
    shop : Shop, optional
        The default shop by default.
    progress : ProgressFactory
    relevant : int
        How many clients with events, at most, to list in ``relevant_clients.npy`` (int64,
        ascending), see :func:`draw_relevant`; 0 for no such file.

    Returns
    -------
    list of SimulatedFile
        The events in the order of their types, the product properties, the relevant clients.

    Raises
    ------
    UBPError
        If the directory already contains such files, or a number is out of range.
    """
    _check_numbers(clients, days, seed)
    names = [f"{table}{suffix}" for table in TABLES for suffix in (".parquet", ".csv")]
    names += [RELEVANT_CLIENTS] * bool(relevant)
    _check_directory(directory, names)
    catalogue = draw_catalogue(shop or Shop(), clients, days, np.random.default_rng([seed, 0]))
    with temporary_directory(directory) as drafts:
        files, counts = _write_events(drafts, catalogue, clients, seed, progress)
        products = _properties(catalogue)
        path = drafts / _file_name(PRODUCTS)
        pq.write_table(products, path)
        files.append(SimulatedFile(path, len(products), None))
        if relevant:
            # A seed that neither the catalogue nor a chunk uses.
            ids = draw_relevant(np.random.default_rng([seed, 0, 1]), counts, relevant)
            np.save(drafts / RELEVANT_CLIENTS, ids)
            files.append(SimulatedFile(drafts / RELEVANT_CLIENTS, len(ids), len(ids)))
        sync_tree(drafts)
        _check_directory(directory, names)
        move_into(directory, [file.path for file in files])
    return [replace(file, path=directory / file.path.name) for file in files]


def _write_events(
    directory: Path, catalogue: Catalogue, clients: int, seed: int, progress: ProgressFactory
) -> tuple[list[SimulatedFile], np.ndarray]:
    """Write the event files and count the events of each client."""
    size = chunk_clients(catalogue.shop, catalogue.days)
    rows, active = dict.fromkeys(EVENT_TYPES, 0), dict.fromkeys(EVENT_TYPES, 0)
    counts = np.zeros(clients, np.int32)
    paths = {table.name: directory / _file_name(table) for table in EVENTS}
    with ExitStack() as stack, progress("simulate", clients, "clients") as advance:
        writers = {
            table.name: stack.enter_context(pq.ParquetWriter(paths[table.name], _schema(table)))
            for table in EVENTS
        }
        for chunk, first in enumerate(range(0, clients, size)):
            ids = np.arange(first, min(first + size, clients)) + 1
            for name, columns in simulate_chunk(catalogue, ids, seed, chunk).items():
                writers[name].write_table(as_arrow(TABLES[name], columns, catalogue.days))
                events = np.bincount(columns["client_id"] - ids[0], minlength=len(ids))
                rows[name] += int(events.sum())
                active[name] += int(np.count_nonzero(events))
                counts[first : first + len(ids)] += events
            advance(len(ids))
    files = [SimulatedFile(paths[name], rows[name], active[name]) for name in EVENT_TYPES]
    return files, counts


def draw_relevant(rng: np.random.Generator, events: np.ndarray, count: int) -> np.ndarray:
    """Draw clients in proportion to the square root of their number of events.

    Parameters
    ----------
    rng : Generator
    events : ndarray of int32, shape (n_clients,)
        Number of events of each client; the ids begin with 1.
    count : int
        How many to draw; all clients with events if there are fewer.

    Returns
    -------
    ndarray of int64, shape (count,)
        Ids, ascending.
    """
    active = np.flatnonzero(events)
    # The first arrivals of exponential processes with these rates (Efraimidis, Spirakis 2006).
    wait = rng.standard_exponential(len(active)) / np.sqrt(events[active])
    if count < len(active):
        active = np.sort(active[np.argpartition(wait, count)[:count]])
    return active + 1


def chunk_clients(shop: Shop, days: int) -> int:
    """Return the number of clients per chunk.

    Examples
    --------
    >>> chunk_clients(Shop(), 100) > chunk_clients(Shop(), 200)
    True
    """
    session_events = 0.5 + 1.5 * shop.views  # an estimate, used for the size of chunks only
    return max(1, round(_CHUNK_EVENTS / (1 + shop.sessions_a_day * days * session_events)))


def simulate_chunk(
    catalogue: Catalogue, ids: np.ndarray, seed: int, chunk: int
) -> dict[str, Columns]:
    """Draw the events of a chunk of clients, as :func:`draw_events` returns them.

    They depend on the arguments only; ``ids`` is an ndarray of int64, shape (n,).
    """
    # The catalogue is drawn with [seed, 0].
    rng = np.random.default_rng([seed, 1 + chunk])
    return draw_events(rng, catalogue, draw_clients(rng, catalogue, ids))


def as_arrow(table: Table, columns: Columns, days: int) -> pa.Table:
    """Convert columns to the types of the files.

    Parameters
    ----------
    table : Table
    columns : dict of str to ndarray
        Times in seconds of the log.
    days : int
        Length of the log.
    """
    begin = int(END.timestamp()) - days * SECONDS_PER_DAY
    arrays = []
    for name, kind in table.columns.items():
        values = columns[name]
        if kind == "time":
            values = pa.array((values + begin) * 1_000_000).cast(_ARROW[kind])
        elif kind == "codes":
            offsets = np.arange(len(values) + 1, dtype=np.int32) * CODES
            values = pa.ListArray.from_arrays(offsets, values.ravel())
        arrays.append(values)
    return pa.table(arrays, schema=_schema(table))


def _schema(table: Table) -> pa.Schema:
    return pa.schema([(name, _ARROW[kind]) for name, kind in table.columns.items()])


def _properties(catalogue: Catalogue) -> pa.Table:
    order = np.argsort(catalogue.sku)
    columns = {
        "sku": catalogue.sku[order],
        "category": catalogue.category_id[catalogue.category[order]],
        "price": catalogue.price[order],
        "name": catalogue.name[order],
    }
    return as_arrow(PRODUCTS, columns, catalogue.days)


def _file_name(table: Table) -> str:
    return f"{table.name}.parquet"


def _check_numbers(clients: int, days: int, seed: int) -> None:
    if clients < 1:
        raise UBPError(f"a shop has at least one client, not {clients}")
    if not 1 <= days <= MAX_DAYS:
        raise UBPError(f"a log has 1 to {MAX_DAYS} days, not {days}")
    if seed < 0:
        raise UBPError(f"a seed is at least 0, not {seed}")


def _check_directory(directory: Path, names: list[str]) -> None:
    if directory.exists() and not directory.is_dir():
        raise UBPError(f"{directory} is a file; name a directory for the event files")
    if found := [name for name in names if (directory / name).exists()]:
        raise UBPError(
            f"{directory} already contains {', '.join(found)}: name another directory, or remove "
            "them first; nothing was written"
        )
