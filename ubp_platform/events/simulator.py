"""Simulated event logs of any size, in the ``challenge`` layout, for trying the platform out.

The log ends at :data:`END`, whatever its length. Clients are drawn in chunks, each with random
numbers of its own, and every chunk is a row group of every file, so that memory does not grow with
the clients. What is simulated is told in ``docs/simulator.md``.
"""

import tempfile
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ubp_platform.errors import UBPError
from ubp_platform.events.layouts import SUFFIXES
from ubp_platform.events.schema import CODES, EVENT_TYPES, EVENTS, PRODUCTS, TABLES, Kind, Table
from ubp_platform.events.simulated_catalogue import (
    SECONDS_A_DAY,
    Catalogue,
    draw_catalogue,
)
from ubp_platform.events.simulated_clients import draw_clients
from ubp_platform.events.simulated_sessions import Columns, draw_events
from ubp_platform.events.simulated_shop import MAX_DAYS, Shop
from ubp_platform.progress import ProgressFactory, silent

#: A Monday; the first instant after every simulated log.
END = datetime(2022, 11, 28, tzinfo=UTC)
# What a chunk holds, roughly: the arrays of so many events take some hundred megabytes.
_CHUNK_EVENTS = 500_000
# Events of a client and session, roughly; only the size of chunks depends on it.
_SESSION_EVENTS = 6.5

_ARROW: dict[Kind, pa.DataType] = {
    "whole": pa.int64(),
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
    progress: ProgressFactory = silent,
) -> list[SimulatedFile]:
    """Write the event log of a simulated shop.

    The same arguments give the same bytes, with the same versions of numpy and pyarrow on the same
    kind of processor.

    Parameters
    ----------
    directory : Path
        Gets one Parquet file a table, all at the end; made where it does not exist.
    clients : int
        Their ids are 1 to this.
    days : int
        Length of the log, up to :data:`END`.
    seed : int
    shop : Shop, optional
        What shapes the log.
    progress : ProgressFactory

    Returns
    -------
    list of SimulatedFile
        The events in the order of their types, then the product properties.

    Raises
    ------
    UBPError
        If the directory holds event files already, or a number is out of its range.
    """
    _check_numbers(clients, days, seed)
    _check_directory(directory)
    shop = shop or Shop()
    catalogue = draw_catalogue(shop, clients, days, np.random.default_rng([seed, 0]))
    size = chunk_clients(shop, days)
    directory.mkdir(parents=True, exist_ok=True)
    rows, active = dict.fromkeys(EVENT_TYPES, 0), dict.fromkeys(EVENT_TYPES, 0)
    with tempfile.TemporaryDirectory(prefix=".simulate-", dir=directory) as temporary:
        with ExitStack() as stack, progress("simulate", clients, "clients") as advance:
            writers = {
                table.name: stack.enter_context(
                    pq.ParquetWriter(_file(Path(temporary), table), _schema(table))
                )
                for table in EVENTS
            }
            for chunk, first in enumerate(range(0, clients, size)):
                ids = np.arange(first, min(first + size, clients)) + 1
                for name, columns in simulate_chunk(catalogue, ids, seed, chunk).items():
                    writers[name].write_table(as_arrow(TABLES[name], columns, days))
                    rows[name] += len(columns["client_id"])
                    active[name] += int((np.diff(columns["client_id"], prepend=0) > 0).sum())
                advance(len(ids))
        products = _properties(catalogue)
        pq.write_table(products, _file(Path(temporary), PRODUCTS))
        _check_directory(directory)
        for table in TABLES.values():
            _file(Path(temporary), table).rename(_file(directory, table))
    files = [
        SimulatedFile(_file(directory, table), rows[table.name], active[table.name])
        for table in EVENTS
    ]
    return [*files, SimulatedFile(_file(directory, PRODUCTS), len(products), None)]


def chunk_clients(shop: Shop, days: int) -> int:
    """Tell how many clients are drawn at once.

    Examples
    --------
    >>> chunk_clients(Shop(), 100) > chunk_clients(Shop(), 200)
    True
    """
    return max(1, round(_CHUNK_EVENTS / (1 + shop.sessions_a_day * days * _SESSION_EVENTS)))


def simulate_chunk(
    catalogue: Catalogue, ids: np.ndarray, seed: int, chunk: int
) -> dict[str, Columns]:
    """Draw the events of a chunk of clients; they depend on nothing but what is given here.

    Parameters
    ----------
    catalogue : Catalogue
    ids : ndarray of int64, shape (n,)
    seed, chunk : int

    Returns
    -------
    dict of str to dict of str to ndarray
        Of each event type the columns of its table, by client and then by time; ``timestamp`` in
        seconds of the log.
    """
    # The catalogue is drawn with [seed, 0].
    rng = np.random.default_rng([seed, 1 + chunk])
    return draw_events(rng, catalogue, draw_clients(rng, catalogue, ids))


def as_arrow(table: Table, columns: Columns, days: int) -> pa.Table:
    """Give columns the types that they have in files.

    Parameters
    ----------
    table : Table
    columns : dict of str to ndarray
        A column of times holds seconds of the log.
    days : int
        Length of the log.

    Returns
    -------
    pyarrow.Table
    """
    begin = int(END.timestamp()) - days * SECONDS_A_DAY
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


def _file(directory: Path, table: Table) -> Path:
    return directory / f"{table.name}.parquet"


def _check_numbers(clients: int, days: int, seed: int) -> None:
    if clients < 1:
        raise UBPError(f"a shop has one client or more, not {clients}")
    if not 1 <= days <= MAX_DAYS:
        raise UBPError(f"a log has 1 to {MAX_DAYS} days, not {days}")
    if seed < 0:
        raise UBPError(f"a seed is zero or more, not {seed}")


def _check_directory(directory: Path) -> None:
    if directory.exists() and not directory.is_dir():
        raise UBPError(f"{directory} is a file; name a directory for the event files")
    paths = [directory / f"{table}{suffix}" for table in TABLES for suffix in SUFFIXES]
    if found := [path.name for path in paths if path.exists()]:
        raise UBPError(
            f"{directory} already holds {', '.join(found)}: name another directory, or remove "
            "them first; nothing was written"
        )
