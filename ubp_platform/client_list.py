"""Lists of clients and foreign embeddings, read from files that may come from anybody."""

import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from ubp_platform.errors import UBPError, first_line
from ubp_platform.evaluation.places import find
from ubp_platform.evaluation.representations import MAX_WIDTH
from ubp_platform.evaluation.tasks import load_array
from ubp_platform.warehouse.identifiers import Identifiers


def read_clients(path: Path) -> np.ndarray:
    """Read a list of clients.

    Parameters
    ----------
    path : Path
        ``.npy`` (one dimension), or ``.parquet`` or ``.csv`` with a column ``client_id``, in any
        case.

    Returns
    -------
    ndarray, shape (n_clients,)
        The shop's ids, each once, in the order of the file: int64, or text.

    Warns
    -----
    UserWarning
        If it names clients more than once.

    Raises
    ------
    UBPError
        If the file is no such list, or is empty.
    """
    readers = {".parquet": _parquet_column, ".npy": load_array, ".csv": _csv_column}
    reader = readers.get(path.suffix.lower())
    if reader is None:
        raise UBPError(f"{path}: a list of clients is a .npy, a .parquet or a .csv file")
    ids = _as_ids(reader(path), path)
    values, first = np.unique(ids, return_index=True)
    if more := len(ids) - len(values):
        warnings.warn(f"{path} names clients again in {more:,} of its rows", stacklevel=2)
    distinct: np.ndarray = ids[np.sort(first)]
    return distinct


def read_embeddings(
    directory: Path, clients: np.ndarray | None = None, shop: Identifiers | None = None
) -> tuple[np.ndarray, ...]:
    """Read embeddings in the challenge's format.

    Parameters
    ----------
    directory : Path
        Holds ``client_ids.npy`` (int64, or text where the shop's ids are) and ``embeddings.npy``
        (float16, two dimensions, at most 2048 wide, finite).
    clients : ndarray of int64, shape (n_clients,), optional
        The clients that must be there, each once, in any order; by default those that are.
    shop : Identifiers, optional
        Then ``clients`` are the keys of the shop's ids.

    Returns
    -------
    clients : ndarray of int64, shape (n_clients,)
    embeddings : ndarray of float16, shape (n_clients, width)
        In the order of the clients.

    Raises
    ------
    UBPError
        If a rule is broken; says which, and by what.
    """
    if not directory.is_dir():
        raise UBPError(f"no such directory: {directory}")
    path = directory / "client_ids.npy"
    ids = load_array(path)
    if ids.dtype != np.int64 and ids.dtype.kind != "U":
        raise UBPError(f"{path} must be of int64, or text, not {ids.dtype}")
    ids = _as_ids(ids, path)
    values, counts = np.unique(ids, return_counts=True)
    if len(values) < len(ids):
        raise UBPError(f"{path} names client {values[counts > 1][0]} more than once")
    path = directory / "embeddings.npy"
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
    if clients is None:
        return ids, vectors
    wanted = clients if shop is None else shop.ids(clients)
    if shop is not None:
        shop.require(ids)
    places, there = find(ids, wanted)
    if not there.all():
        raise UBPError(
            f"{directory} lacks {(~there).sum():,} of the {len(clients):,} clients to evaluate, "
            f"such as {wanted[~there][0]}; --clients {directory / 'client_ids.npy'} evaluates "
            "those that it has"
        )
    if len(ids) > len(clients):
        more = ids[~find(wanted, ids)[1]]
        raise UBPError(
            f"{directory} has {len(more):,} clients that are not to be evaluated, such as "
            f"{more[0]}: leave them out"
        )
    return clients, vectors[places]


def _as_ids(ids: np.ndarray, path: Path) -> np.ndarray:
    """Insist on a list of ids; as int64, or as text."""
    if ids.dtype == object and all(type(one) is str for one in ids.flat):
        ids = ids.astype(np.str_)
    if ids.ndim != 1 or ids.dtype.kind not in "iuU":
        raise UBPError(
            f"{path} must be a list of whole numbers or of text, not {ids.dtype} of shape "
            f"{ids.shape}"
        )
    if ids.dtype.kind == "u" and (ids >= 2**63).any():
        raise UBPError(f"{path}: a client id is a whole number of 64 bits with a sign")
    if not ids.size:
        raise UBPError(f"{path} names no client")
    return ids if ids.dtype.kind == "U" else ids.astype(np.int64)


def _csv_column(path: Path) -> np.ndarray:
    try:
        frame = pd.read_csv(path, dtype=str, keep_default_na=False, encoding="utf-8-sig")
    except FileNotFoundError:
        raise UBPError(f"no such file: {path}") from None
    except (ValueError, OSError) as error:
        raise UBPError(f"{path} is no CSV file: {first_line(error)}") from None
    if "client_id" not in frame:
        raise UBPError(f"{path} has no column client_id; it has {', '.join(frame) or 'none'}")
    if (frame["client_id"] == "").any():
        raise UBPError(f"{path} has rows without a client_id")
    return frame["client_id"].to_numpy(object)


def _parquet_column(path: Path) -> np.ndarray:
    try:
        table = pq.read_table(path)
        columns = table.column_names
    except FileNotFoundError:
        raise UBPError(f"no such file: {path}") from None
    except (pa.ArrowException, ValueError, OSError) as error:
        raise UBPError(f"{path} is no Parquet file: {first_line(error)}") from None
    if "client_id" not in columns:
        raise UBPError(f"{path} has no column client_id; it has {', '.join(columns) or 'none'}")
    if table["client_id"].null_count:
        raise UBPError(f"{path} has rows without a client_id")
    ids: np.ndarray = table["client_id"].to_numpy()
    return ids
