"""Samples of clients to learn from, so that a fit of a large shop stays on one machine."""

import hashlib

import numpy as np


def draw_clients(clients: np.ndarray, size: int, seed: int) -> np.ndarray:
    """Draw clients evenly: those whose keys have the lowest hashes.

    A client's hash depends on the key and the seed alone. So the order of the clients does not
    matter, a larger sample contains the smaller ones, and a new client changes one place at most.

    Parameters
    ----------
    clients : ndarray of int64, shape (n_clients,)
        Distinct keys.
    size : int
    seed : int

    Returns
    -------
    ndarray of int64, shape (size,)
        Ascending; all clients if there are no more.

    Examples
    --------
    >>> draw_clients(np.arange(1000), 5, seed=0).tolist()
    [250, 286, 728, 781, 844]
    """
    if len(clients) <= size:
        return np.sort(clients)
    hashes = _mixed(clients.astype(np.uint64) ^ _mixed(np.array([seed], np.uint64)))
    return np.sort(clients[np.argpartition(hashes, size - 1)[:size]])


def sample_identity(history: str, size: int, seed: int) -> str:
    """Identify a history of which a sample of clients is learned from.

    Parameters
    ----------
    history : str
        The identity of the whole history; with size and seed it determines the sample.
    size, seed : int
    """
    return hashlib.sha256(f"{history}\n{size} clients of seed {seed}".encode()).hexdigest()


def _mixed(numbers: np.ndarray) -> np.ndarray:
    """Hash 64-bit numbers one to one (the finalizer of SplitMix64)."""
    numbers = numbers + np.uint64(0x9E3779B97F4A7C15)
    numbers = (numbers ^ (numbers >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    numbers = (numbers ^ (numbers >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    mixed: np.ndarray = numbers ^ (numbers >> np.uint64(31))
    return mixed
