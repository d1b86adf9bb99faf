"""Finding values in a list, in columns."""

import numpy as np


def find(values: np.ndarray, wanted: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Find where values stand in a list.

    Parameters
    ----------
    values : ndarray, shape (n_values,)
        The list, without repetitions, in any order.
    wanted : ndarray, shape (n,)

    Returns
    -------
    places : ndarray of int64, shape (n_found,)
        Positions in the list of those that are in it, in their order.
    found : ndarray of bool, shape (n,)
        Which ones are.

    Examples
    --------
    >>> find(np.array([30, 10, 20]), np.array([10, 99, 30]))
    (array([1, 0]), array([ True, False,  True]))
    """
    if not len(values):
        return np.empty(0, np.int64), np.zeros(len(wanted), dtype=bool)
    order = np.argsort(values, kind="stable")
    place = np.searchsorted(values, wanted, sorter=order)
    place[place == len(values)] = 0
    candidate = order[place]
    found = values[candidate] == wanted
    return candidate[found], found
