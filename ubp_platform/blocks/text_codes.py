"""Text codes as features of a product's name or a client's queries.

A text is stored as its quantized embedding, 16 codes of 0–255. A code is the id of a cluster: 17 is
no closer to 18 than to 200, so each (position, code) is a feature of its own.
"""

from typing import Literal

import numpy as np
import pyarrow as pa
from scipy import sparse

from ubp_platform.events.schema import CODE_VALUES, CODES

Coding = Literal["indicators", "average"]
# The norm of 16 ones, so that the row of one text has length 1.
_LENGTH = np.sqrt(CODES)


def code_features(table: pa.Table, ids: np.ndarray, coding: Coding) -> sparse.csr_matrix:
    """Make the feature row of each id.

    Parameters
    ----------
    table : pyarrow.Table
        ``id``, ``position`` (0–15), ``code`` (0–255) and ``share``, the share of the id's texts
        that have the code at this position.
    ids : ndarray of int64, shape (n,)
        Ascending; other ids of the table are ignored.
    coding : {"indicators", "average"}
        One column per (position, code) with its share; or one column per position with the mean
        code, scaled to 0–1.

    Returns
    -------
    csr_matrix of float32, shape (n, 4096) or (n, 16)
        Divided by 4, so that no row is longer than 1. The row of an id without texts is empty.

    Examples
    --------
    >>> table = pa.table({"id": [7], "position": [1], "code": [51], "share": [1.0]})
    >>> code_features(table, np.array([7, 8]), "indicators")[0, 256 + 51]
    np.float32(0.25)
    >>> code_features(table, np.array([7, 8]), "average")[0, 1]
    np.float32(0.05)
    """
    table_ids, position, code, share = (
        table[name].to_numpy() for name in ("id", "position", "code", "share")
    )
    rows = np.searchsorted(ids, table_ids)
    known = np.isin(table_ids, ids)
    if coding == "indicators":
        columns, values, width = position * CODE_VALUES + code, share, CODES * CODE_VALUES
    else:
        columns, values, width = position, share * code / (CODE_VALUES - 1), CODES
    entries = (values[known] / _LENGTH, (rows[known], columns[known]))
    return sparse.csr_matrix(entries, shape=(len(ids), width), dtype=np.float32)
