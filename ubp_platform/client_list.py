"""Lists of clients, from untrusted files."""

import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from ubp_platform.errors import UBPError, first_line
from ubp_platform.limits import require_columns, require_lines, require_parquet
from ubp_platform.npy import describe, load_array


def read_clients(path: Path) -> np.ndarray:
    """Read a list of clients.

    Parameters
    ----------
    path : Path
        ``.npy`` (one dimension), or ``.parquet`` or ``.csv`` with a column ``client_id``; the
        suffix in any case.

    Returns
    -------
    ndarray, shape (n_clients,)
        The shop's ids, distinct, in the order of the file: int64, or text.

    Warns
    -----
    UserWarning
        If it names clients more than once.

    Raises
    ------
    UBPError
        If the file is not such a list, or is empty.
    """
    readers = {".parquet": _parquet_column, ".npy": load_array, ".csv": _csv_column}
    reader = readers.get(path.suffix.lower())
    if reader is None:
        raise UBPError(f"{path}: a list of clients is a .npy, a .parquet or a .csv file")
    ids = check_ids(reader(path), path)
    values, first = np.unique(ids, return_index=True)
    if more := len(ids) - len(values):
        warnings.warn(f"{path} names clients again in {more:,} of its rows", stacklevel=2)
    distinct: np.ndarray = ids[np.sort(first)]
    return distinct


def check_ids(ids: np.ndarray, path: Path) -> np.ndarray:
    """Check that a file's array is a list of ids; return it as int64, or as text."""
    if ids.dtype == object and all(type(one) is str for one in ids.flat):
        ids = ids.astype(np.str_)
    if ids.ndim != 1 or ids.dtype.kind not in "iuU":
        raise UBPError(f"{path} must be a list of integers or of text, not {describe(ids)}")
    if ids.dtype.kind == "u" and (ids >= 2**63).any():
        raise UBPError(f"{path}: a client id must be a signed 64-bit integer")
    if not ids.size:
        raise UBPError(f"{path} names no client")
    return ids if ids.dtype.kind == "U" else ids.astype(np.int64)


def _csv_column(path: Path) -> np.ndarray:
    try:
        require_lines(path)
        with path.open(encoding="utf-8-sig") as file:
            require_columns(path, file.readline().split(","))
        frame = pd.read_csv(path, dtype=str, keep_default_na=False, encoding="utf-8-sig")
    except FileNotFoundError:
        raise UBPError(f"no such file: {path}") from None
    except pd.errors.EmptyDataError:
        raise UBPError(f"{path} is empty") from None
    except (ValueError, OSError) as error:
        raise UBPError(f"{path} is not a CSV file: {first_line(error)}") from None
    _check_column(path, list(frame), lambda: (frame["client_id"] == "").any())
    return frame["client_id"].to_numpy(object)


def _parquet_column(path: Path) -> np.ndarray:
    require_parquet(path)
    try:
        table = pq.read_table(path)
        columns = table.column_names
    except FileNotFoundError:
        raise UBPError(f"no such file: {path}") from None
    except (pa.ArrowException, ValueError, OSError) as error:
        raise UBPError(f"{path} is not a Parquet file: {first_line(error)}") from None
    _check_column(path, columns, lambda: table["client_id"].null_count)
    ids: np.ndarray = table["client_id"].to_numpy()
    return ids


def _check_column(path: Path, columns: list[str], gaps: Callable[[], object]) -> None:
    if "client_id" not in columns:
        raise UBPError(f"{path} has no column client_id; it has {', '.join(columns) or 'none'}")
    if gaps():
        raise UBPError(f"{path} has rows without a client_id")
