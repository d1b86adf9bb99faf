"""Representations that need no learning: what a profile has to beat.

Counts are logarithms, log(1 + x): a head learns more from them than from raw ones.
"""

import tempfile
from pathlib import Path

import numpy as np

from ubp_platform.blocks.encoding import encode
from ubp_platform.blocks.handcrafted import Handcrafted
from ubp_platform.blocks.snapshot import iterate, thinned
from ubp_platform.evaluation.places import find
from ubp_platform.evaluation.representations import Representation, as_float16, whole
from ubp_platform.events.schema import EVENT_CODES, EVENT_TYPES, PRODUCT_EVENTS
from ubp_platform.profile.normalizer import FIT_CLIENTS, Normalizer
from ubp_platform.warehouse.history import History

_WINDOWS = ("day", "week", "month")
_TOP = 10
# Which fields are counted of which events, as the organisers' baseline does.
_FIELDS = [
    *((name, field) for name in PRODUCT_EVENTS for field in ("sku", "category", "price")),
    ("page_visit", "url"),
]
_COUNTS = len(_FIELDS) * _TOP * len(_WINDOWS)
# The order in which the query numbers them.
_NUMBERED = ("sku", "category", "price", "url")


def baselines(history: History, clients: np.ndarray) -> list[Representation]:
    """Make the baselines of few numbers and of many counts.

    Parameters
    ----------
    history : History
        The input of the split.
    clients : ndarray of int64, shape (n_clients,)

    Returns
    -------
    list of Representation
        ``recency, frequency``: days since the last purchase and since the last event of any type,
        and how many there were, 4 numbers. ``counts``: events of each type, and of the shop's 10
        most frequent products, categories, prices and pages in the last 1, 7 and 30 days before
        the cutoff, 305 numbers (the baseline of the challenge's organisers, without queries).
    """
    activity = history.table("activity")
    kinds = activity["event_type"].to_numpy()
    rows, listed = find(clients, activity["client_id"].to_numpy())
    events, days = np.zeros((2, len(clients), len(EVENT_TYPES)), np.float32)
    # Never is longer ago than the last time of anybody.
    days += activity["days"].to_numpy().max(initial=0) + 1
    events[rows, kinds[listed]] = activity["events"].to_numpy()[listed]
    days[rows, kinds[listed]] = activity["days"].to_numpy()[listed]
    bought = EVENT_CODES["product_buy"]
    four = [days[:, bought], events[:, bought], days.min(axis=1), events.sum(axis=1)]
    counts = np.zeros((len(clients), len(EVENT_TYPES) + _COUNTS), np.float16)
    counts[:, : len(EVENT_TYPES)] = np.log1p(events)
    _count(history, clients, counts[:, len(EVENT_TYPES) :])
    return [
        whole("recency, frequency", "baseline", np.log1p(np.stack(four, 1)).astype(np.float16)),
        whole("counts", "baseline", counts),
    ]


def handcrafted(history: History, clients: np.ndarray) -> Representation:
    """Make the baseline of the 42 handcrafted features, normalized as in a profile.

    Parameters
    ----------
    history : History
        The input of the split.
    clients : ndarray of int64, shape (n_clients,)
        Who has no event that the features read gets the mean.

    Raises
    ------
    BlockUnavailable
        If nobody has one.
    """
    block = Handcrafted().fit(history)
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "handcrafted.parquet"
        encode(block, history, path)
        normalizer = Normalizer.fit(thinned(path, FIT_CLIENTS), block.normalization)
        matrix = np.tile(as_float16(normalizer.mean, block.name), (len(clients), 1))
        for ids, vectors in iterate(path):
            rows, listed = find(clients, ids)
            matrix[rows] = as_float16(normalizer.transform(vectors[listed]), block.name)
    return whole(block.name, "baseline", matrix)


def _count(history: History, clients: np.ndarray, counts: np.ndarray) -> None:
    """Fill in the logarithms of how often each client met the shop's most frequent values."""
    found = history.table("activity_counts", top=_TOP)
    kinds, fields = found["event_type"].to_numpy(), found["field"].to_numpy()
    rows, listed = find(clients, found["client_id"].to_numpy())
    for place, (event, field) in enumerate(_FIELDS):
        these = (kinds == EVENT_CODES[event]) & (fields == _NUMBERED.index(field))
        chosen = listed & these
        columns = (place * _TOP + found["rank"].to_numpy()[chosen]) * len(_WINDOWS)
        for number, window in enumerate(_WINDOWS):
            numbers = np.log1p(found[window].to_numpy()[chosen])
            counts[rows[these[listed]], columns + number] = numbers
