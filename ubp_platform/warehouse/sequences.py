"""Events as tokens: vocabularies, and each client's events as a sequence over them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import duckdb
import numpy as np
import pyarrow as pa

from ubp_platform.events.schema import event_codes

#: Fields of a sequence, as expressions over the view ``event``.
FIELDS = {
    "event_type": "event_type",
    "category": "category",
    "price": "price",
    "sku": "sku",
    "url": "url",
    "day": "day",
    "week": "day // 7",
}
# Events at the same instant are ordered by type, then by what they touched; rows that agree in all
# of these are interchangeable. The queries in `sql/*_text.sql` sort in the same order.
_ORDER = ("timestamp", "event_type", "sku", "url", "query")


@dataclass(frozen=True)
class Vocabulary:
    """The values of one field that a model knows, most frequent first.

    A value's token is its position plus :data:`Vocabulary.FIRST`; the tokens below are special.

    Parameters
    ----------
    field : str
        A key of :data:`FIELDS`.
    values : ndarray of int64, shape (n_values,)
        The known values, most frequent first, ties by value.
    """

    field: str
    values: np.ndarray

    PAD = 0
    START = 1
    END = 2
    MISSING = 3
    RARE = 4
    FIRST = 5

    @property
    def size(self) -> int:
        """The number of tokens, special ones included."""
        return self.FIRST + len(self.values)


@dataclass(frozen=True)
class Sequences:
    """Ragged sequences: client ``i`` owns ``offsets[i]:offsets[i + 1]`` of each field.

    Parameters
    ----------
    client_ids : ndarray of int64, shape (n_clients,)
        Ascending; every client here has at least one event.
    offsets : ndarray of int64, shape (n_clients + 1,)
    fields : dict of str to ndarray of int32, shape (n_events,)
        Tokens in time order, oldest first, without start and end tokens.
    """

    client_ids: np.ndarray
    offsets: np.ndarray
    fields: dict[str, np.ndarray]

    @property
    def lengths(self) -> np.ndarray:
        """The number of events per client, int64, shape (n_clients,)."""
        return np.diff(self.offsets)


def read_vocabulary(
    connection: duckdb.DuckDBPyConnection,
    field: str,
    size: int | None,
    event_types: Sequence[str],
) -> Vocabulary:
    """Count the values of a field in the view ``event``; see :meth:`History.vocabulary`."""
    limit = "" if size is None else f"LIMIT {size:d}"
    result = connection.execute(
        f"""SELECT ({FIELDS[field]})::BIGINT AS value FROM event
            WHERE value IS NOT NULL AND list_contains($codes, event_type)
            GROUP BY value ORDER BY count(*) DESC, value {limit}""",
        {"codes": event_codes(event_types)},
    ).fetchnumpy()
    return Vocabulary(field, np.asarray(result["value"], dtype=np.int64))


def read_sequences(
    connection: duckdb.DuckDBPyConnection,
    vocabularies: Mapping[str, Vocabulary],
    last: int,
    event_types: Sequence[str],
) -> Sequences:
    """Translate the view ``relevant_event`` into tokens; see :meth:`History.sequences`."""
    joins, tokens = [], []
    for field, vocabulary in vocabularies.items():
        known = np.arange(Vocabulary.FIRST, vocabulary.size, dtype=np.int32)
        connection.register(
            f"known_{field}", pa.table({"value": vocabulary.values, "token": known})
        )
        joins.append(f"LEFT JOIN known_{field} ON known_{field}.value = {FIELDS[field]}")
        tokens.append(
            f"""coalesce(known_{field}.token, CASE WHEN ({FIELDS[field]}) IS NULL
                THEN {Vocabulary.MISSING} ELSE {Vocabulary.RARE} END)::INTEGER AS {field}"""
        )
    newest_first = ", ".join(f"{column} DESC" for column in _ORDER)
    # Qualified, because the tokens in the result have the same names.
    oldest_first = ", ".join(f"recent.{column}" for column in _ORDER)
    table = (
        connection.sql(
            f"""WITH recent AS (
                    SELECT * FROM relevant_event
                    WHERE list_contains($codes, event_type)
                    QUALIFY row_number() OVER (
                        PARTITION BY client_id ORDER BY {newest_first}) <= $last)
                SELECT client_id, {", ".join(tokens)} FROM recent {" ".join(joins)}
                ORDER BY client_id, {oldest_first}""",
            params={"codes": event_codes(event_types), "last": last},
        )
        .to_arrow_table()
        .combine_chunks()
    )
    client_ids, starts = np.unique(table["client_id"].to_numpy(), return_index=True)
    return Sequences(
        client_ids=client_ids,
        offsets=np.append(starts, table.num_rows).astype(np.int64),
        fields={field: table[field].to_numpy() for field in vocabularies},
    )
