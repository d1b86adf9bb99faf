"""The profile that is evaluated and exported: its cutoff is the split's."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ubp_platform.blocks.snapshot_files import describe_snapshot, is_current
from ubp_platform.choices import Preset
from ubp_platform.client_list import read_clients
from ubp_platform.evaluation.last import last_profile
from ubp_platform.evaluation.representations import profile_matrix
from ubp_platform.evaluation.split import Split, split_of
from ubp_platform.home import Home
from ubp_platform.locks import exclusive
from ubp_platform.profile.fitting import BlockFits, fit_blocks
from ubp_platform.profile.listing import versions
from ubp_platform.profile.making import make_version
from ubp_platform.profile.version import ProfileVersion, encoded_from
from ubp_platform.progress import ProgressFactory, logged
from ubp_platform.warehouse import Warehouse, targets
from ubp_platform.warehouse.delivery_times import Known


@dataclass(frozen=True)
class Backtest:
    """A profile made from the split's input and nothing after it.

    Parameters
    ----------
    split : Split
    clients : ndarray of int64, shape (n_clients,)
        The clients to profile, in this order.
    fits : BlockFits
    version : ProfileVersion
        Stored in the home's ``evaluation/profiles``, apart from those that are served.
    matrix : ndarray of float16, shape (n_clients, width)
        The profiles.
    unknown : int
        Number of clients without a profile of their own; they get the mean one.
    """

    split: Split
    clients: np.ndarray
    fits: BlockFits
    version: ProfileVersion
    matrix: np.ndarray
    unknown: int


def backtest(
    home: Home,
    split: Split,
    clients: np.ndarray,
    blocks: Sequence[str] = (),
    preset: Preset = "small",
    model: str | None = None,
    progress: ProgressFactory = logged,
    seed: int = 0,
    as_delivered: bool = False,
) -> Backtest:
    """Make the profile of a split's input; existing fits and snapshots are reused.

    Parameters
    ----------
    home : Home
    split : Split
    clients : ndarray of int64, shape (n_clients,)
        The clients to profile, see :func:`plan`.
    blocks : sequence of str
        The blocks of the profile; by default those of the default profile.
    preset : {"small", "paper"}
    model : str, optional
        The language model of the blocks that use one.
    progress : ProgressFactory
    seed : int
        Random seed of the blocks.
    as_delivered : bool
        Whether the input has only what had been delivered by its end.
    """
    with exclusive(home, "fit"):
        fits = fit_blocks(
            home,
            cutoff=split.cutoff,
            preset=preset,
            seed=seed,
            progress=progress,
            among=blocks or None,
            model=model,
            resume=True,
            complete=True,
            as_delivered=as_delivered,
        )
        version = make_version(home, fits, progress, directory=home.evaluation / "profiles")
    matrix, known = profile_matrix(version, split.cutoff, clients)
    return Backtest(split, clients, fits, version, matrix, len(clients) - known)


def plan(
    home: Home, clients_file: Path | None = None, as_delivered: bool = False
) -> tuple[Split, np.ndarray]:
    """Divide the log, and list the clients to evaluate.

    Parameters
    ----------
    home : Home
    clients_file : Path, optional
        The list; by default the warehouse's relevant clients, or all with an event in the input.
    as_delivered : bool
        Whether the input has only what had been delivered by its end.

    Returns
    -------
    split : Split
    clients : ndarray of int64, shape (n_clients,)
    """
    ids = None if clients_file is None else read_clients(clients_file)
    with Warehouse(home.warehouse) as warehouse:
        split = split_of(warehouse)
        if ids is not None:
            return split, warehouse.identifiers("client_id").keys(ids)
        if warehouse.relevant is not None:
            return split, warehouse.relevant
        known = Known.at(split.cutoff, as_delivered)
        return split, targets.clients(warehouse, split.cutoff, known)


def evaluated_profile(home: Home, split: Split) -> ProfileVersion | None:
    """Return the profile that was evaluated last, if it is of this split and of the same input.

    Parameters
    ----------
    home : Home
    split : Split
    """
    name = last_profile(home)
    directory = home.evaluation / "profiles"
    known = {version.name: version for version in versions(home, directory)}
    if name not in known:
        return None
    version = known[name]
    with Warehouse(home.warehouse) as warehouse:
        identity = warehouse.identity(split.cutoff)
    path = version.snapshot_path(split.cutoff)
    same = path.exists() and encoded_from(home, version, split.cutoff) == identity
    return version if same and is_current(path, describe_snapshot(path).made_from) else None
