"""What a history gives to blocks: vocabularies, ragged sequences, interactions."""

from dataclasses import dataclass

import numpy as np
from scipy import sparse


@dataclass(frozen=True)
class Vocabulary:
    """The values of one field that a model knows, most frequent first.

    A value's token is its position plus :data:`Vocabulary.FIRST`; the tokens below are special.

    Parameters
    ----------
    field : str
        A key of :data:`~ubp_platform.warehouse.history.FIELDS`.
    values : ndarray of int64, shape (n_values,)
        The known values, most frequent first, ties by value.
    """

    field: str
    values: np.ndarray

    PAD = 0
    START = 1
    END = 2
    MISSING = 3
    RARE = 4
    FIRST = 5

    @property
    def size(self) -> int:
        """The number of tokens, special ones included."""
        return self.FIRST + len(self.values)


@dataclass(frozen=True)
class Sequences:
    """Ragged sequences: client ``i`` owns ``offsets[i]:offsets[i + 1]`` of each field.

    Parameters
    ----------
    client_ids : ndarray of int64, shape (n_clients,)
        Ascending; every client here has at least one event.
    offsets : ndarray of int64, shape (n_clients + 1,)
    fields : dict of str to ndarray of int32, shape (n_events,)
        Tokens in time order, oldest first, without start and end.
    """

    client_ids: np.ndarray
    offsets: np.ndarray
    fields: dict[str, np.ndarray]

    @property
    def lengths(self) -> np.ndarray:
        """Events of each client, int64, shape (n_clients,)."""
        return np.diff(self.offsets)


@dataclass(frozen=True)
class Interactions:
    """A client × item matrix of summed event weights.

    Parameters
    ----------
    client_ids : ndarray of int64, shape (n_clients,)
        Row labels, ascending; every row has an entry.
    items : ndarray of int64, shape (n_items,)
        Column labels.
    matrix : csr_matrix of float32, shape (n_clients, n_items)
    """

    client_ids: np.ndarray
    items: np.ndarray
    matrix: sparse.csr_matrix
