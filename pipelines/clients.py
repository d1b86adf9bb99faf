"""``ubp clients``: whose profiles are wanted."""

from pathlib import Path

import numpy as np
from rich.console import Console

from ubp_platform.errors import UBPError
from ubp_platform.evaluation.clients import read_clients
from ubp_platform.home import Home
from ubp_platform.warehouse import Warehouse


def relevant_clients(
    home: Home, file: Path | None = None, everybody: bool = False
) -> np.ndarray | None:
    """Tell whose profiles are wanted, or say it: blocks are fitted on them, and encode no others.

    Fits, snapshots and profiles that are there stay; `ubp train` or `ubp encode` makes new ones.

    Parameters
    ----------
    home : Home
    file : Path, optional
        Lists the clients, ``.npy`` or ``.parquet``; from now on these are wanted.
    everybody : bool
        From now on all are.

    Returns
    -------
    ndarray of int64, shape (n_clients,), optional
        Ascending; None where all are.

    Raises
    ------
    UBPError
        If the file is no list of clients; says why.
    WarehouseMissing
        If nothing was ingested yet.
    """
    if file and everybody:
        raise UBPError("name a FILE or give --all, not both")
    wanted = None if file is None else read_clients(file)
    with Warehouse(home.warehouse) as warehouse:
        relevant = warehouse.relevant
    if not file and not everybody:
        return relevant
    with Warehouse(home.warehouse, write=True) as warehouse:
        warehouse.set_relevant(wanted)
        return warehouse.relevant


def show_relevant(console: Console, clients: np.ndarray | None) -> None:
    """Say whose profiles are wanted."""
    who = "all clients" if clients is None else f"{len(clients):,} clients"
    console.print(f"Profiles are made of {who}", highlight=False)
