"""Validation of client ids and of a training set's entities."""

import operator
from collections.abc import Iterable
from typing import Any, TypeAlias

import numpy as np
import pandas as pd

from ubp_platform.errors import UBPError
from ubp_platform.events.integer_ids import is_text

#: Of the shop's own type.
ClientId: TypeAlias = int | str


def check_client_ids(client_ids: Iterable[Any], text: bool) -> list[ClientId]:
    """Check that ids are of the shop's type.

    Raises
    ------
    UBPError
        If one is not a string (``text``), or not a 64-bit integer.
    """
    if text:
        ids = list(client_ids)
        for client_id in ids:
            if not isinstance(client_id, str):
                raise UBPError(f"client ids of this shop are text, not {client_id!r}")
            if not is_text(client_id):
                raise UBPError(f"the client id {client_id!r} is no text: it has a lone surrogate")
        return ids
    try:
        numbers: list[ClientId] = [operator.index(client_id) for client_id in client_ids]
    except TypeError as error:
        raise UBPError(f"client ids of this shop are integers: {error}") from None
    if any(not -(2**63) <= int(number) < 2**63 for number in numbers):
        raise UBPError("client ids of this shop are integers of 64 bits")
    return numbers


def entity_keys(entities: pd.DataFrame, text: bool) -> pd.DataFrame:
    """Convert the key columns of entities to the form that Feast joins.

    Parameters
    ----------
    entities : DataFrame
        With ``client_id`` and ``event_timestamp``.
    text : bool
        Whether the shop's client ids are text.

    Returns
    -------
    DataFrame
        ``client_id``, ``event_timestamp`` in UTC, and ``row``, the position of each entity.

    Raises
    ------
    UBPError
        If a column is missing or of the wrong type.
    """
    missing = [name for name in ("client_id", "event_timestamp") if name not in entities.columns]
    if missing:
        raise UBPError(
            f"the entities lack the column {' and '.join(missing)}; they have "
            f"{', '.join(map(str, entities.columns)) or 'none'}"
        )
    ids = (_text_ids if text else _integer_ids)(entities["client_id"])
    times = _times(entities["event_timestamp"])
    rows = np.arange(len(entities))
    return pd.DataFrame({"client_id": ids, "event_timestamp": times.array, "row": rows})


def _times(column: pd.Series) -> pd.Series:
    if pd.api.types.is_numeric_dtype(column) and len(column):
        raise UBPError("the entities' event_timestamp must be times, not numbers")
    # ISO 8601 only: 02/03/2024 is in February for some, in March for others.
    times = pd.to_datetime(column, utc=True, format="ISO8601", errors="coerce")
    for row in np.flatnonzero(times.isna()):
        raise UBPError(
            f"the entities' event_timestamp in row {row + 1}, {str(column.iloc[row])!r}, cannot be "
            "read: it must be present in every row, in the form 2017-12-18 06:00:00"
        )
    # Cutoffs are no finer than a microsecond.
    return times.dt.floor("us")


def _integer_ids(column: pd.Series) -> np.ndarray:
    if not pd.api.types.is_integer_dtype(column) or column.isna().any():
        raise UBPError(
            "the entities' client_id must be integers, present in every row; it is of type "
            f"{column.dtype}"
        )
    if column.dtype.kind == "u" and (column >= 2**63).any():
        raise UBPError("the entities' client_id must be signed integers of 64 bits")
    return column.to_numpy(np.int64)


def _text_ids(column: pd.Series) -> np.ndarray:
    values = column.astype(object).to_numpy()
    for row, value in enumerate(values):
        if not isinstance(value, str):
            raise UBPError(
                "the entities' client_id must be text, as this shop's are; in row "
                f"{row + 1} it is {value!r}"
            )
    return values
