"""Vectorized lookup of values in an unordered list."""

import numpy as np


def positions_in(values: np.ndarray, wanted: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Look up the positions of values in a list.

    Parameters
    ----------
    values : ndarray, shape (n_values,)
        The list: distinct values in any order.
    wanted : ndarray, shape (n,)

    Returns
    -------
    positions : ndarray of int64, shape (n_found,)
        Positions in ``values`` of those wanted values that occur there, in the order of ``wanted``.
    found : ndarray of bool, shape (n,)
        Which wanted values occur.

    Examples
    --------
    >>> positions_in(np.array([30, 10, 20]), np.array([10, 99, 30]))
    (array([1, 0]), array([ True, False,  True]))
    """
    if not len(values):
        return np.empty(0, np.int64), np.zeros(len(wanted), dtype=bool)
    order = np.argsort(values, kind="stable")
    rank = np.searchsorted(values, wanted, sorter=order)
    rank[rank == len(values)] = 0
    candidate = order[rank]
    found = values[candidate] == wanted
    return candidate[found], found
