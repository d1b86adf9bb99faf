"""Embeddings in the challenge's format, from untrusted files."""

from pathlib import Path

import numpy as np

from ubp_platform.client_list import check_ids
from ubp_platform.errors import UBPError
from ubp_platform.evaluation.lookup import positions_in
from ubp_platform.evaluation.representations import MAX_WIDTH
from ubp_platform.npy import load_array
from ubp_platform.warehouse.identifiers import Identifiers


def read_embeddings(
    directory: Path, clients: np.ndarray | None = None, shop: Identifiers | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Read embeddings in the challenge's format.

    Parameters
    ----------
    directory : Path
        With ``client_ids.npy`` (int64, or text where the shop's ids are text) and
        ``embeddings.npy`` (float16, two dimensions, at most 2048 wide, finite).
    clients : ndarray of int64, shape (n_clients,), optional
        Required clients, distinct, in any order; by default those in the files.
    shop : Identifiers, optional
        If given, ``clients`` are keys of the shop's ids.

    Returns
    -------
    clients : ndarray of int64, shape (n_clients,)
    embeddings : ndarray of float16, shape (n_clients, width)
        In the order of the clients.

    Raises
    ------
    UBPError
        If a file is missing or breaks a rule, or a client is missing or unknown to the shop.
    """
    if not directory.is_dir():
        raise UBPError(f"no such directory: {directory}")
    ids = _read_ids(directory / "client_ids.npy")
    vectors = _read_vectors(directory / "embeddings.npy", ids)
    if clients is None:
        return ids, vectors
    wanted = clients if shop is None else shop.ids(clients)
    if shop is not None:
        shop.require(ids)
    rows, present = positions_in(ids, wanted)
    if not present.all():
        raise UBPError(
            f"{directory} lacks {(~present).sum():,} of the {len(clients):,} clients to evaluate, "
            f"such as {wanted[~present][0]}; --clients {directory / 'client_ids.npy'} evaluates "
            "those that it has"
        )
    if len(ids) > len(clients):
        more = ids[~positions_in(wanted, ids)[1]]
        raise UBPError(
            f"{directory} has {len(more):,} clients that are not to be evaluated, such as "
            f"{more[0]}: leave them out"
        )
    return clients, vectors[rows]


def _read_ids(path: Path) -> np.ndarray:
    ids = load_array(path)
    if ids.dtype != np.int64 and ids.dtype.kind != "U":
        raise UBPError(f"{path} must be of int64, or text, not {ids.dtype}")
    ids = check_ids(ids, path)
    values, counts = np.unique(ids, return_counts=True)
    if len(values) < len(ids):
        raise UBPError(f"{path} names client {values[counts > 1][0]} more than once")
    return ids


def _read_vectors(path: Path, ids: np.ndarray) -> np.ndarray:
    vectors = load_array(path)
    if vectors.dtype != np.float16:
        raise UBPError(
            f"{path} must be of float16, not {vectors.dtype}: save it .astype(numpy.float16)"
        )
    if vectors.ndim != 2 or not 1 <= vectors.shape[1] <= MAX_WIDTH:
        raise UBPError(
            f"{path} must have two dimensions and be 1 to {MAX_WIDTH} wide; its shape is "
            f"{vectors.shape}"
        )
    if len(vectors) != len(ids):
        raise UBPError(f"{path} has {len(vectors):,} rows for {len(ids):,} client ids")
    bad = ~np.isfinite(vectors).all(axis=1)
    if bad.any():
        raise UBPError(f"{path} is not finite at client {ids[bad][0]}")
    return vectors
