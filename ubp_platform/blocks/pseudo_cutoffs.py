"""Training examples from a history's own past: inputs at earlier cutoffs, and what followed them.

A history that ends at C contains what followed C − 14 days, C − 28 days, …: the events before such
a *pseudo-cutoff* are an input, those in the window after it are the targets. Both are before C, so
a model that is trained on them has seen nothing of the future it is evaluated on.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
from pydantic import PositiveInt
from scipy import sparse

from ubp_platform.blocks.base import Block
from ubp_platform.events.schema import EVENT_TYPES
from ubp_platform.times import WINDOW_DAYS
from ubp_platform.warehouse.history import History

#: Events whose items are predicted, and the fields of these items.
ITEM_EVENTS = ("product_buy", "add_to_cart")
ITEM_FIELDS = ("category", "sku", "price")
#: Event types of which it is predicted whether a client has any.
ACTIVITIES = ("product_buy", "add_to_cart", "page_visit", "search_query")
# The least history before a pseudo-cutoff; less contains too little about clients.
_MIN_HISTORY = timedelta(days=7)


class FutureBlock(Block):
    """A block that is fitted on what clients did after pseudo-cutoffs.

    Parameters
    ----------
    days : int
        Length of the window after a pseudo-cutoff, and the distance between pseudo-cutoffs.
    cutoffs : int
        Maximum number of pseudo-cutoffs.
    clients : int
        Maximum number of clients to learn from, drawn with the seed.
    top : int
        Number of categories, of products and of prices that are predicted, the most frequent ones.
    """

    needs = EVENT_TYPES

    days: PositiveInt = WINDOW_DAYS
    cutoffs: PositiveInt = 6
    clients: PositiveInt = 50_000
    top: PositiveInt = 100

    def windows(self, history: History) -> Iterator[tuple[History, History]]:
        """Yield past and future of the drawn clients at each pseudo-cutoff; see :func:`windows`."""
        clients = None
        if len(history.clients) > self.clients:
            rng = np.random.default_rng(self.seed)
            clients = np.sort(rng.choice(history.clients, self.clients, replace=False))
        return windows(history, timedelta(days=self.days), self.cutoffs, clients)


@dataclass(frozen=True)
class Examples:
    """Clients at pseudo-cutoffs.

    Parameters
    ----------
    client_ids : ndarray of int64, shape (n_examples,)
        A client has one example per pseudo-cutoff.
    inputs : ndarray of float32, shape (n_examples, dim)
        A block's vectors.
    targets : csr_matrix of float32, shape (n_examples, n_targets)
        1 where it happened in the window. Targets that never happened are left out.
    groups : ndarray of int64, shape (n_targets,)
        The group of each target, such as all categories bought.
    """

    client_ids: np.ndarray
    inputs: np.ndarray
    targets: sparse.csr_matrix
    groups: np.ndarray


def pseudo_cutoffs(history: History, window: timedelta, count: int) -> list[datetime]:
    """Return at most ``count`` pseudo-cutoffs of a history, one per window, newest first."""
    if history.first is None:
        return []
    times = (history.cutoff - window * number for number in range(1, count + 1))
    return [time for time in times if time - history.first >= _MIN_HISTORY]


def windows(
    history: History, window: timedelta, count: int, clients: np.ndarray | None = None
) -> Iterator[tuple[History, History]]:
    """Yield the histories before each pseudo-cutoff and in the window after it.

    Both are valid until the next pair is yielded. The relevant clients of the past are ``clients``,
    by default those of the history; those of the future are the ones with an event in the past.
    """
    for time in pseudo_cutoffs(history, window, count):
        with history.until(time, clients=clients) as past:
            active = past.clients_with(EVENT_TYPES)
            with history.until(time + window, start=time, clients=active) as future:
                yield past, future


def collect_examples(
    windows: Iterator[tuple[History, History]], block: Block, items: dict[str, np.ndarray]
) -> Examples | None:
    """Collect examples: a block's vectors at pseudo-cutoffs, and what followed.

    Parameters
    ----------
    windows : iterator of (History, History)
        See :func:`windows`.
    block : Block
        Fitted on the same history.
    items : dict of str to ndarray of int64
        The items to predict of each field, ascending; see :func:`top_items`.

    Returns
    -------
    Examples or None
        None where there is no window, or nothing happened in any.
    """
    ids, inputs, targets = [], [], []
    for past, future in windows:
        snapshot = block.encode(past)
        groups = list(_target_groups(future, snapshot.client_ids, items))
        ids.append(snapshot.client_ids)
        inputs.append(snapshot.vectors)
        targets.append(sparse.hstack(groups, format="csr"))
    if not ids:
        return None
    stacked = sparse.vstack(targets, format="csr")
    happened = np.flatnonzero(np.asarray(stacked.sum(axis=0)).ravel())
    if not len(happened):
        return None
    group = np.repeat(np.arange(len(groups)), [matrix.shape[1] for matrix in groups])
    return Examples(
        client_ids=np.concatenate(ids),
        inputs=np.concatenate(inputs),
        targets=stacked[:, happened],
        groups=group[happened],
    )


def top_items(history: History, count: int, event_types: tuple[str, ...]) -> dict[str, np.ndarray]:
    """Return the items of each field with most events of these types: int64, ascending."""
    return {
        name: np.sort(history.vocabulary(name, count, event_types).values) for name in ITEM_FIELDS
    }


def _target_groups(
    future: History, clients: np.ndarray, items: dict[str, np.ndarray]
) -> Iterator[sparse.csr_matrix]:
    """Yield the targets of each group: (n_clients, n_targets)."""
    for event in ACTIVITIES:
        active = np.isin(clients, future.clients_with([event]))
        yield sparse.csr_matrix(active[:, None].astype(np.float32))
    for event in ITEM_EVENTS:
        for name, values in items.items():
            yield item_indicators(future, clients, event, name, values)


def item_indicators(
    future: History, clients: np.ndarray, event: str, name: str, items: np.ndarray
) -> sparse.csr_matrix:
    """Return 1 where a client has an event of an item: float32, (n_clients, n_items).

    Parameters
    ----------
    future : History
    clients : ndarray of int64, shape (n_clients,)
        Ascending, and including all relevant clients with such an event.
    event, name : str
        The event type, and the field of the items.
    items : ndarray of int64, shape (n_items,)
        Ascending.
    """
    interactions = future.interactions(name, {event: 1}, items)
    matrix = interactions.matrix.tocoo()
    rows = np.searchsorted(clients, interactions.client_ids)[matrix.row]
    ones = np.ones(matrix.nnz, np.float32)
    return sparse.csr_matrix((ones, (rows, matrix.col)), shape=(len(clients), len(items)))
