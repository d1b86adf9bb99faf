"""What a history knows of its own future: examples at earlier cutoffs, with what came after them.

A history that ends at C is also a record of what followed C − 14 days, C − 28 days, …: the events
before such a *pseudo-cutoff* are an input, those of the 14 days from it are what it should tell.
All of both lies before C, so that what is learned of them knows nothing of what it will be asked.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
from scipy import sparse

from ubp_platform.blocks.base import Block
from ubp_platform.events.schema import EVENT_TYPES
from ubp_platform.warehouse.history import History

#: Events whose items are predicted, and the fields of these items.
EVENTS = ("product_buy", "add_to_cart")
FIELDS = ("category", "sku", "price")
#: Events of which it is predicted whether there is any.
ACTIVITIES = ("product_buy", "add_to_cart", "page_visit", "search_query")
# A pseudo-cutoff with less history than this tells little of clients.
_SHORTEST = timedelta(days=7)


@dataclass(frozen=True)
class Examples:
    """Clients at pseudo-cutoffs.

    Parameters
    ----------
    client_ids : ndarray of int64, shape (n_examples,)
        A client is there once a pseudo-cutoff.
    inputs : ndarray of float32, shape (n_examples, dim)
        The block's vectors.
    targets : csr_matrix of float32, shape (n_examples, n_targets)
        1 where it happened in the window. A target that never happened is left out.
    groups : ndarray of int64, shape (n_targets,)
        Which targets belong together, as the categories bought do.
    """

    client_ids: np.ndarray
    inputs: np.ndarray
    targets: sparse.csr_matrix
    groups: np.ndarray


def pseudo_cutoffs(history: History, window: timedelta, count: int) -> list[datetime]:
    """Give the pseudo-cutoffs of a history, newest first, as far as it goes back.

    Parameters
    ----------
    history : History
    window : timedelta
        From one to the next, and the first one's distance from the history's end.
    count : int
        How many at most.
    """
    first = history.first
    if first is None:
        return []
    times = (history.cutoff - window * number for number in range(1, count + 1))
    return [time for time in times if time - first >= _SHORTEST]


def windows(
    history: History, window: timedelta, count: int, clients: np.ndarray | None = None
) -> Iterator[tuple[History, History]]:
    """Give what was before each pseudo-cutoff, and the days after it.

    Parameters
    ----------
    history : History
    window : timedelta
        How far is looked ahead; see :func:`pseudo_cutoffs`.
    count : int
        How many pseudo-cutoffs at most.
    clients : ndarray of int64, optional
        Whom to take; the relevant clients by default.

    Yields
    ------
    past, future : History
        Until the next pair is asked for. The relevant clients of the future are those with an event
        in the past.
    """
    for time in pseudo_cutoffs(history, window, count):
        with history.until(time, clients=clients) as past:
            known = past.clients_with(EVENT_TYPES)
            with history.until(time + window, start=time, clients=known) as future:
                yield past, future


def examples(
    history: History,
    block: Block,
    window: timedelta,
    count: int,
    top: int,
    clients: np.ndarray | None = None,
) -> Examples | None:
    """Collect examples: a fitted block's vectors at pseudo-cutoffs, and what followed.

    Parameters
    ----------
    history : History
    block : Block
        Fitted on the same history.
    window : timedelta
        How far is looked ahead; see :func:`pseudo_cutoffs`.
    count : int
        How many pseudo-cutoffs at most.
    top : int
        Of how many categories, products and prices it is told whether they are bought or added:
        those that are most often, in the whole history.
    clients : ndarray of int64, optional
        Whom to take; the relevant clients by default.

    Returns
    -------
    Examples or None
        None where the history is too short, or nothing happened in any window.
    """
    items = {name: np.sort(history.vocabulary(name, top, EVENTS).values) for name in FIELDS}
    ids, inputs, targets = [], [], []
    for past, future in windows(history, window, count, clients):
        snapshot = block.encode(past)
        happened = list(_happened(future, snapshot.client_ids, items))
        ids.append(snapshot.client_ids)
        inputs.append(snapshot.vectors)
        targets.append(sparse.hstack(happened, format="csr"))
    if not ids:
        return None
    stacked = sparse.vstack(targets, format="csr")
    happens = np.flatnonzero(np.asarray(stacked.sum(axis=0)).ravel())
    if not len(happens):
        return None
    groups = np.repeat(np.arange(len(happened)), [rows.shape[1] for rows in happened])
    return Examples(
        np.concatenate(ids), np.concatenate(inputs), stacked[:, happens], groups[happens]
    )


def _happened(
    future: History, clients: np.ndarray, items: dict[str, np.ndarray]
) -> Iterator[sparse.csr_matrix]:
    """Tell what the clients did in a window, group by group: (n_clients, n_targets)."""
    for event in ACTIVITIES:
        active = np.isin(clients, future.clients_with([event]))
        yield sparse.csr_matrix(active[:, None].astype(np.float32))
    for event in EVENTS:
        for name, values in items.items():
            yield touched(future, clients, event, name, values)


def touched(
    future: History, clients: np.ndarray, event: str, name: str, items: np.ndarray
) -> sparse.csr_matrix:
    """Tell which items clients had to do with: (n_clients, n_items), 1 where there is an event.

    Parameters
    ----------
    future : History
    clients : ndarray of int64, shape (n_clients,)
        Ascending; all relevant clients with such an event are among them.
    event : str
        Its type.
    name : str
        The field that the items are of.
    items : ndarray of int64, shape (n_items,)
        Ascending.
    """
    found = future.interactions(name, {event: 1}, items)
    rows = np.searchsorted(clients, found.client_ids)
    matrix = found.matrix.tocoo()
    places = (rows[matrix.row], matrix.col)
    ones = np.ones(matrix.nnz, np.float32)
    return sparse.csr_matrix((ones, places), shape=(len(clients), len(items)))


def drawn(clients: np.ndarray, most: int, seed: int) -> np.ndarray | None:
    """Draw some clients if there are too many, ascending; None: all."""
    if len(clients) <= most:
        return None
    return np.sort(np.random.default_rng(seed).choice(clients, most, replace=False))
