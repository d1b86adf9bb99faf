"""Collecting the facts of clients from their history."""

from contextlib import suppress

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ubp_platform.blocks.handcrafted import Handcrafted
from ubp_platform.errors import BlockUnavailable
from ubp_platform.progress import ProgressFactory, silent
from ubp_platform.similar.facts import (
    CATEGORIES,
    EVENTS,
    FAVOURITES,
    ID,
    KEY,
    LAST,
    TIME,
)
from ubp_platform.warehouse.history import History


def facts_of(
    history: History, keys: np.ndarray, ids: pa.Array, progress: ProgressFactory
) -> pa.Table:
    """Collect the facts of clients.

    Parameters
    ----------
    history : History
        Of these clients.
    keys : ndarray of int64, shape (n_clients,)
        Ascending.
    ids : pyarrow.Array
        The shop's ids, in the order of the keys.
    progress : ProgressFactory
    """
    block: Handcrafted | None = None
    with suppress(BlockUnavailable):  # a shop of searches alone
        block = Handcrafted().fit(history)
    parts, start = [], 0
    with progress("facts of clients", len(keys), "clients") as advance:
        for count, narrowed in history.slices():
            some = keys[start : start + count]
            parts.append(_slice(narrowed, some, block))
            start += count
            advance(count)
    return pa.concat_tables(parts).add_column(1, ID, ids)


def _slice(history: History, keys: np.ndarray, block: Handcrafted | None) -> pa.Table:
    seen = history.table("client_facts", favourites=FAVOURITES)
    rows = _rows(seen[ID].to_numpy(), keys)
    columns = {KEY: pa.array(keys)}
    columns[LAST] = seen[LAST].combine_chunks().cast(TIME).take(rows)
    columns[EVENTS] = seen[EVENTS].combine_chunks().take(rows).fill_null(0)
    for place, name in enumerate(CATEGORIES):
        columns[name] = pc.list_element(_padded(seen["categories"]), place).take(rows)
    if block:
        snapshot = block.encode(history, silent)
        rows = _rows(snapshot.client_ids, keys)
        for name, column in zip(snapshot.names or (), snapshot.vectors.T, strict=True):
            values = pa.array(np.ascontiguousarray(column)).take(rows)
            columns[name] = values.fill_null(float("nan"))
    return pa.table(columns)


def _padded(lists: pa.ChunkedArray) -> pa.Array:
    """Return lists of equal length, filled up with nulls."""
    return pc.list_slice(lists.combine_chunks(), 0, FAVOURITES, return_fixed_size_list=True)


def _rows(found: np.ndarray, keys: np.ndarray) -> pa.Array:
    """Return for each key its row, null where it has none."""
    rows = np.searchsorted(found, keys)
    rows[rows == len(found)] = 0
    missing = found[rows] != keys if len(found) else np.ones(len(keys), bool)
    return pa.array(rows, pa.int64(), mask=missing)
