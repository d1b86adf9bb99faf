"""The shop's own ids: 64-bit integers as they are, or text with a key in the warehouse.

Blocks compute with 64-bit integers. Integer ids are their own keys. For text ids a dictionary in
the warehouse holds the keys, counted from 0, which are assigned when an id first lands and never
reused. The id of a key is NULL where it has been forgotten.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Literal

import duckdb
import numpy as np
import pyarrow as pa

from ubp_platform.errors import UBPError
from ubp_platform.events.integer_ids import integer_of
from ubp_platform.events.schema import ID_COLUMNS, ColumnKind, Table

_TABLES = """
CREATE TABLE IF NOT EXISTS column_kind (column_name VARCHAR PRIMARY KEY, kind VARCHAR NOT NULL);
"""
_TABLES += "".join(
    f"CREATE TABLE IF NOT EXISTS {column}_key (key BIGINT NOT NULL, id VARCHAR);"
    for column in ID_COLUMNS
)
# What a warehouse held before it had dictionaries.
_BEFORE: Mapping[str, ColumnKind] = {
    **dict.fromkeys(ID_COLUMNS, "whole"),
    **{"price": "bucket", "name": "codes", "query": "codes"},
}


def create_dictionaries(connection: duckdb.DuckDBPyConnection) -> None:
    """Create the dictionaries that are missing."""
    connection.execute(_TABLES)


def create_tables(connection: duckdb.DuckDBPyConnection) -> None:
    """Create the dictionaries of a warehouse; data that landed before them has the older kinds."""
    create_dictionaries(connection)
    connection.execute(
        """INSERT INTO column_kind SELECT unnest(?), unnest(?)
           WHERE EXISTS (FROM batch) AND NOT EXISTS (FROM column_kind)""",
        [[*_BEFORE], [*_BEFORE.values()]],
    )


def kinds(connection: duckdb.DuckDBPyConnection) -> dict[str, ColumnKind]:
    """Return the kinds of the columns for which one has been decided, at their first landing."""
    try:
        rows = connection.execute("FROM column_kind").fetchall()
    except duckdb.CatalogException:  # older than dictionaries
        return dict(_BEFORE)
    return dict(rows)


def remember(connection: duckdb.DuckDBPyConnection, kinds: Mapping[str, ColumnKind]) -> None:
    """Store the kinds of a batch's columns; kinds that are stored already do not change."""
    for column, kind in kinds.items():
        connection.execute("INSERT OR IGNORE INTO column_kind VALUES (?, ?)", [column, kind])


def forget(connection: duckdb.DuckDBPyConnection) -> None:
    """Delete all kinds and ids, in a warehouse that has become empty."""
    for table in ("column_kind", *(f"{column}_key" for column in ID_COLUMNS)):
        connection.execute(f"DELETE FROM {table}")
    connection.execute("DROP TABLE IF EXISTS relevant_client")
    connection.execute("DROP TABLE IF EXISTS relevant_list")


def create_keyed_view(
    connection: duckdb.DuckDBPyConnection, table: Table, kinds: Mapping[str, ColumnKind]
) -> None:
    """Create the view ``keyed``: the view ``good`` with keys in place of text ids.

    The rows of ``good`` are those of ``table``; called inside the transaction of a batch. New ids
    get the next keys in the order of their text, so that the keys of a delivery do not depend on
    the order of its rows.
    """
    texts = [column for column in table.columns if kinds.get(column) == "text"]
    for column in texts:
        _add(connection, column, f"SELECT DISTINCT {column} AS id FROM good")
    connection.execute(f"CREATE OR REPLACE TEMP VIEW keyed AS {translated('good', texts, 'key')}")


def translated(relation: str, columns: Iterable[str], to: Literal["key", "id"]) -> str:
    """Return a ``SELECT`` of a relation with ids in place of keys, or keys in place of ids.

    Parameters
    ----------
    relation : str
        A view, or a query in parentheses.
    columns : iterable of str
        The columns to translate: those whose ids are text.
    to : {"key", "id"}
    """
    given = "id" if to == "key" else "key"
    joins, replaced = "", []
    for column in columns:
        joins += f" LEFT JOIN {column}_key AS {column}_of ON given.{column} = {column}_of.{given}"
        replaced.append(f"{column}_of.{to} AS {column}")
    selected = f"given.* REPLACE ({', '.join(replaced)})" if replaced else "*"
    return f"SELECT {selected} FROM {relation} AS given{joins}"


def _add(connection: duckdb.DuckDBPyConnection, column: str, ids: str) -> None:
    connection.execute(
        f"""INSERT INTO {column}_key
            SELECT (SELECT count(*) FROM {column}_key) + row_number() OVER (ORDER BY id) - 1, id
            FROM ({ids}) ANTI JOIN {column}_key USING (id) WHERE id IS NOT NULL ORDER BY id"""
    )


class Identifiers:
    """Translation between one column's ids and their keys.

    Parameters
    ----------
    connection : DuckDBPyConnection
        To a warehouse.
    column : str
        ``client_id``, ``sku``, ``category`` or ``url``.
    """

    def __init__(self, connection: duckdb.DuckDBPyConnection, column: str) -> None:
        self._connection, self.column = connection, column
        self.kind: ColumnKind = kinds(connection).get(column, "whole")

    @property
    def is_text(self) -> bool:
        """Whether the shop's ids are text."""
        return self.kind == "text"

    def keys(self, ids: np.ndarray) -> np.ndarray:
        """Return the keys of ids.

        Parameters
        ----------
        ids : ndarray, shape (n,)
            Distinct; integers or text, as the shop has them.

        Returns
        -------
        ndarray of int64, shape (n,)
            Ids that never landed get distinct negative keys.

        Raises
        ------
        UBPError
            If the ids are of the other kind.
        """
        ids = self.require(ids)
        if not self.is_text:
            return ids.astype(np.int64)
        given = pa.table({"id": pa.array(ids.tolist(), pa.string()), "row": np.arange(len(ids))})
        self._connection.register("given_id", given)
        found = self._connection.execute(
            f"""SELECT coalesce(key, -1 - row)::BIGINT AS key
                FROM given_id LEFT JOIN {self.column}_key USING (id) ORDER BY row"""
        ).fetchnumpy()
        self._connection.unregister("given_id")
        return np.asarray(found["key"], np.int64)

    def with_new(self, ids: np.ndarray) -> np.ndarray:
        """Return the keys of distinct ids, after adding keys for those that never landed."""
        ids = self.require(ids)
        if self.is_text:
            given = pa.table({"id": pa.array(ids.tolist(), pa.string())})
            self._connection.register("given_id", given)
            _add(self._connection, self.column, "FROM given_id")
            self._connection.unregister("given_id")
        return self.keys(ids)

    def ids(self, keys: np.ndarray) -> np.ndarray:
        """Return the shop's ids of keys.

        Returns
        -------
        ndarray, shape (n,)
            int64, or text (numpy's fixed-width unicode, which can be saved without pickle).
        """
        if not self.is_text:
            return keys
        return np.array(self.arrow(keys).to_pylist(), dtype=np.str_)

    @property
    def shop_ids(self) -> Callable[[np.ndarray], pa.Array] | None:
        """A function from keys to text ids; None if keys are the ids."""
        return self.arrow if self.is_text else None

    def arrow(self, keys: np.ndarray) -> pa.Array:
        """Return the shop's text ids of keys as an Arrow array."""
        given = pa.table({"key": pa.array(keys, pa.int64()), "row": np.arange(len(keys))})
        self._connection.register("given_key", given)
        found = self._connection.sql(
            f"SELECT id FROM given_key LEFT JOIN {self.column}_key USING (key) ORDER BY row"
        ).to_arrow_table()
        self._connection.unregister("given_key")
        return found["id"].combine_chunks().cast(pa.string())

    def require(self, ids: np.ndarray) -> np.ndarray:
        """Return ids of the shop's kind; integers may be written as text.

        Raises
        ------
        UBPError
            If they are of the other kind.
        """
        are_integers = ids.dtype.kind in "iu"
        if are_integers and self.is_text:
            raise UBPError(f"this shop's {self.column} is a text, not a whole number like {ids[0]}")
        if are_integers or self.is_text:
            return ids
        return np.array([integer_id(one, self.column) for one in ids.tolist()], np.int64)


def integer_id(text: str, column: str = "client_id") -> int:
    """Read a 64-bit integer: digits, nothing else.

    Raises
    ------
    UBPError
        If the text is not one.
    """
    number = integer_of(text)
    if number is None:
        raise UBPError(f"this shop's {column} is a whole number of 64 bits, not {text!r}")
    return number
