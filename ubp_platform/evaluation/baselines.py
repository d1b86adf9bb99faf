"""Representations without learning: the baselines of a profile.

Counts are log(1 + x): heads learn more from these than from raw counts.
"""

import tempfile
from pathlib import Path

import numpy as np

from ubp_platform.blocks.encoding import encode_to_file
from ubp_platform.blocks.handcrafted import Handcrafted
from ubp_platform.blocks.snapshot import iterate, thinned
from ubp_platform.evaluation.lookup import positions_in
from ubp_platform.evaluation.representations import Representation, as_float16, of_matrix
from ubp_platform.events.schema import EVENT_CODES, EVENT_TYPES, PRODUCT_EVENTS
from ubp_platform.profile.normalizer import FIT_CLIENTS, Normalizer
from ubp_platform.warehouse.history import History

#: Name of the simplest baseline.
SIMPLE = "recency, frequency"
_WINDOWS = ("day", "week", "month")
# List length in activity_counts.sql.
_TOP = 10
# Fields counted per event type, as in the organisers' baseline.
_FIELDS = [
    *((name, field) for name in PRODUCT_EVENTS for field in ("sku", "category", "price")),
    ("page_visit", "url"),
]
_COUNTS = len(_FIELDS) * _TOP * len(_WINDOWS)
# Field numbers in activity_counts.sql.
_NUMBERED = ("sku", "category", "price", "url")


def baselines(history: History, clients: np.ndarray) -> list[Representation]:
    """Compute the baselines ``recency, frequency`` and ``counts``.

    Parameters
    ----------
    history : History
        Events before the cutoff.
    clients : ndarray of int64, shape (n_clients,)

    Returns
    -------
    list of Representation
        ``recency, frequency``: days since the last purchase, number of purchases, days since the
        last event of any type, number of events; 4 columns. ``counts``: events of each type, and
        events with the shop's 10 most frequent products, categories, prices and pages in the last
        1, 7 and 30 days before the cutoff; 305 columns (the baseline of the challenge's organisers,
        without queries).
    """
    activity = history.table("activity")
    types = activity["event_type"].to_numpy()
    rows, listed = positions_in(clients, activity["client_id"].to_numpy())
    events, days = np.zeros((2, len(clients), len(EVENT_TYPES)), np.float32)
    # "Never" is longer ago than the earliest last event of any client.
    days += activity["days"].to_numpy().max(initial=0) + 1
    events[rows, types[listed]] = activity["events"].to_numpy()[listed]
    days[rows, types[listed]] = activity["days"].to_numpy()[listed]
    bought = EVENT_CODES["product_buy"]
    columns = [days[:, bought], events[:, bought], days.min(axis=1), events.sum(axis=1)]
    simple = np.log1p(np.stack(columns, 1)).astype(np.float16)
    counts = np.zeros((len(clients), len(EVENT_TYPES) + _COUNTS), np.float16)
    counts[:, : len(EVENT_TYPES)] = np.log1p(events)
    _fill_counts(history, clients, counts[:, len(EVENT_TYPES) :])
    return [of_matrix(SIMPLE, "baseline", simple), of_matrix("counts", "baseline", counts)]


def handcrafted(history: History, clients: np.ndarray) -> Representation:
    """Compute the baseline of the 42 handcrafted features, normalized as in a profile.

    Parameters
    ----------
    history : History
        Events before the cutoff.
    clients : ndarray of int64, shape (n_clients,)
        Clients without an event that the features read get the mean.

    Raises
    ------
    BlockUnavailable
        If no client has one.
    """
    block = Handcrafted().fit(history)
    # In the system's directory for them, which the system cleans after a kill.
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "handcrafted.parquet"
        encode_to_file(block, history, path)
        normalizer = Normalizer.fit(thinned(path, FIT_CLIENTS), block.normalization)
        matrix = np.tile(as_float16(normalizer.mean, block.name), (len(clients), 1))
        for ids, vectors in iterate(path):
            rows, listed = positions_in(clients, ids)
            matrix[rows] = as_float16(normalizer.transform(vectors[listed]), block.name)
    return of_matrix(block.name, "baseline", matrix)


def _fill_counts(history: History, clients: np.ndarray, counts: np.ndarray) -> None:
    """Fill in the log-counts of each client's events with the shop's most frequent values."""
    table = history.table("activity_counts", top=_TOP)
    types, fields = table["event_type"].to_numpy(), table["field"].to_numpy()
    rows, listed = positions_in(clients, table["client_id"].to_numpy())
    for number, (event, field) in enumerate(_FIELDS):
        matching = (types == EVENT_CODES[event]) & (fields == _NUMBERED.index(field))
        chosen = listed & matching
        columns = (number * _TOP + table["rank"].to_numpy()[chosen]) * len(_WINDOWS)
        for offset, window in enumerate(_WINDOWS):
            values = np.log1p(table[window].to_numpy()[chosen])
            counts[rows[matching[listed]], columns + offset] = values
