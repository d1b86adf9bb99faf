"""``ubp clients``: show or set the relevant clients."""

import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ubp_platform.client_list import read_clients
from ubp_platform.errors import UBPError
from ubp_platform.forgotten import Forgotten
from ubp_platform.home import Home
from ubp_platform.warehouse import Warehouse


@dataclass(frozen=True)
class RelevantClients:
    """The relevant clients, whose profiles are made.

    Parameters
    ----------
    clients : ndarray of int64, shape (n_clients,), optional
        Ascending; None if all clients are relevant.
    with_events : int, optional
        The number of them that have an event.
    """

    clients: np.ndarray | None = None
    with_events: int | None = None


def _without_forgotten(home: Home, listed: np.ndarray) -> np.ndarray:
    refused = Forgotten.read(home).is_refused(listed)
    if refused.any():
        warnings.warn(
            f"clients of the list who have been forgotten are left out: {refused.sum():,}",
            stacklevel=3,
        )
    return listed[~refused]


def relevant_clients(
    home: Home, file: Path | None = None, everybody: bool = False
) -> RelevantClients:
    """Return the relevant clients, or set them: blocks are fitted on them and encode no others.

    Existing fits, snapshots and profiles stay; `ubp train` or `ubp encode` creates new ones. A
    client that is no longer relevant keeps the last profile.

    Parameters
    ----------
    home : Home
    file : Path, optional
        A list of clients, ``.npy``, ``.parquet`` or ``.csv``, to set.
    everybody : bool
        Make all clients relevant.

    Raises
    ------
    UBPError
        If the file is not a list of clients, or none of them has an event.
    WarehouseMissing
        If nothing has been ingested yet.
    """
    if file and everybody:
        raise UBPError("name a FILE or give --all, not both")
    listed = None if file is None else read_clients(file)
    with Warehouse(home.warehouse, wait=True) as warehouse:
        clients = None if file or everybody else warehouse.relevant
        if listed is not None:
            clients = warehouse.identifiers("client_id").keys(listed)
        with_events = None if clients is None else warehouse.clients(clients)
    if listed is not None and not with_events:
        raise UBPError(
            f"{file}: none of its clients, such as {listed[0]}, has an event in the warehouse"
        )
    if file or everybody:
        with Warehouse(home.warehouse, write=True, wait=True) as warehouse:
            if listed is not None:
                listed = _without_forgotten(home, listed)
                clients = warehouse.identifiers("client_id").with_new(listed)
            warehouse.set_relevant(clients)
    return RelevantClients(None if clients is None else np.sort(clients), with_events)
