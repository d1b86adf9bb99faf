"""The shop's own ids: whole numbers as they are, or text with a key of the warehouse's for each.

Everything behind the door computes with 64-bit whole numbers. Where a shop's ids are such, they are
their own keys, and nothing here costs anything. Where they are text, a dictionary in the warehouse
has a key for each, from 0 on, given when an id lands first and never again for another.
"""

import re
from collections.abc import Callable, Mapping

import duckdb
import numpy as np
import pyarrow as pa

from ubp_platform.errors import UBPError
from ubp_platform.events.schema import ID_COLUMNS, ColumnKind, Table

_TABLES = """
CREATE TABLE IF NOT EXISTS column_kind (column_name VARCHAR PRIMARY KEY, kind VARCHAR NOT NULL);
"""
_TABLES += "".join(
    f"CREATE TABLE IF NOT EXISTS {column}_key (key BIGINT NOT NULL, id VARCHAR NOT NULL);"
    for column in ID_COLUMNS
)
# What a warehouse held that is older than all this.
_BEFORE: Mapping[str, ColumnKind] = {
    **dict.fromkeys(ID_COLUMNS, "whole"),
    **{"price": "bucket", "name": "codes", "query": "codes"},
}


def create_dictionaries(connection: duckdb.DuckDBPyConnection) -> None:
    """Make the dictionaries where they are missing."""
    connection.execute(_TABLES)


def create_tables(connection: duckdb.DuckDBPyConnection) -> None:
    """Make the dictionaries of a warehouse; what has landed before them is as it was then."""
    create_dictionaries(connection)
    connection.execute(
        """INSERT INTO column_kind SELECT unnest(?), unnest(?)
           WHERE EXISTS (FROM batch) AND NOT EXISTS (FROM column_kind)""",
        [[*_BEFORE], [*_BEFORE.values()]],
    )


def kinds(connection: duckdb.DuckDBPyConnection) -> dict[str, ColumnKind]:
    """Tell what is known of each column that comes in kinds: nothing before its first landing."""
    try:
        rows = connection.execute("FROM column_kind").fetchall()
    except duckdb.CatalogException:  # older than dictionaries
        return dict(_BEFORE)
    return dict(rows)


def remember(connection: duckdb.DuckDBPyConnection, found: Mapping[str, ColumnKind]) -> None:
    """Keep what the columns of a batch hold; from now on they hold nothing else."""
    for column, kind in found.items():
        connection.execute("INSERT OR IGNORE INTO column_kind VALUES (?, ?)", [column, kind])


def forget(connection: duckdb.DuckDBPyConnection) -> None:
    """Forget what columns hold, and all ids: for a warehouse that has nothing any more."""
    for table in ("column_kind", *(f"{column}_key" for column in ID_COLUMNS)):
        connection.execute(f"DELETE FROM {table}")
    connection.execute("DROP TABLE IF EXISTS relevant_client")


def give_keys(
    connection: duckdb.DuckDBPyConnection, table: Table, found: Mapping[str, ColumnKind]
) -> None:
    """Make the view ``keyed``: the view ``good`` with keys in the place of text ids.

    Ids that are new in a table get the next keys, in the order of their text: whatever the order
    of the rows, the same delivery gives the same keys.

    Parameters
    ----------
    connection : DuckDBPyConnection
        Inside the transaction of the batch.
    table : Table
        The one whose rows ``good`` has.
    found : mapping of str to str
        What the columns hold.
    """
    texts = [column for column in table.columns if found.get(column) == "text"]
    for column in texts:
        _add(connection, column, f"SELECT DISTINCT {column} AS id FROM good")
    joins = "".join(
        f" LEFT JOIN {column}_key AS {column}_of ON good.{column} = {column}_of.id"
        for column in texts
    )
    replaced = ", ".join(f"{column}_of.key AS {column}" for column in texts)
    columns = f"good.* REPLACE ({replaced})" if texts else "*"
    connection.execute(f"CREATE OR REPLACE TEMP VIEW keyed AS SELECT {columns} FROM good{joins}")


def _add(connection: duckdb.DuckDBPyConnection, column: str, ids: str) -> None:
    connection.execute(
        f"""INSERT INTO {column}_key
            SELECT (SELECT count(*) FROM {column}_key) + row_number() OVER (ORDER BY id) - 1, id
            FROM ({ids}) ANTI JOIN {column}_key USING (id) WHERE id IS NOT NULL ORDER BY id"""
    )


class Identifiers:
    """Translates between one column's ids and their keys.

    Parameters
    ----------
    connection : DuckDBPyConnection
        Of a warehouse.
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
        """Give the keys of ids.

        Parameters
        ----------
        ids : ndarray, shape (n,)
            Whole numbers or text, as the shop has them; each once.

        Returns
        -------
        ndarray of int64, shape (n,)
            An id that never landed has a negative one, another for each.

        Raises
        ------
        UBPError
            If they are of the other kind.
        """
        ids = self.require(ids)
        if not self.is_text:
            return ids.astype(np.int64)
        wanted = pa.table({"id": pa.array(ids.tolist(), pa.string()), "row": np.arange(len(ids))})
        self._connection.register("wanted_id", wanted)
        found = self._connection.execute(
            f"""SELECT coalesce(key, -1 - row)::BIGINT AS key
                FROM wanted_id LEFT JOIN {self.column}_key USING (id) ORDER BY row"""
        ).fetchnumpy()
        self._connection.unregister("wanted_id")
        return np.asarray(found["key"], np.int64)

    def with_new(self, ids: np.ndarray) -> np.ndarray:
        """Give the keys of ids, and keys of their own to those that never landed.

        Parameters
        ----------
        ids : ndarray, shape (n,)
            Each once.
        """
        ids = self.require(ids)
        if self.is_text:
            wanted = pa.table({"id": pa.array(ids.tolist(), pa.string())})
            self._connection.register("wanted_id", wanted)
            _add(self._connection, self.column, "FROM wanted_id")
            self._connection.unregister("wanted_id")
        return self.keys(ids)

    def ids(self, keys: np.ndarray) -> np.ndarray:
        """Give the shop's ids of keys.

        Parameters
        ----------
        keys : ndarray of int64, shape (n,)

        Returns
        -------
        ndarray, shape (n,)
            int64, or text (numpy's fixed-width unicode, which saves without pickle).
        """
        if not self.is_text:
            return keys
        return np.array(self.arrow(keys).to_pylist(), dtype=np.str_)

    @property
    def shop_ids(self) -> Callable[[np.ndarray], pa.Array] | None:
        """What gives the text ids of keys; None where keys are the ids."""
        return self.arrow if self.is_text else None

    def arrow(self, keys: np.ndarray) -> pa.Array:
        """Give the shop's text ids of keys as an Arrow array."""
        wanted = pa.table({"key": pa.array(keys, pa.int64()), "row": np.arange(len(keys))})
        self._connection.register("wanted_key", wanted)
        found = self._connection.sql(
            f"SELECT id FROM wanted_key LEFT JOIN {self.column}_key USING (key) ORDER BY row"
        ).to_arrow_table()
        self._connection.unregister("wanted_key")
        return found["id"].combine_chunks().cast(pa.string())

    def require(self, ids: np.ndarray) -> np.ndarray:
        """Insist that ids are of the shop's kind; whole numbers may be written as text.

        Raises
        ------
        UBPError
            If they are not.
        """
        whole = ids.dtype.kind in "iu"
        if whole and self.is_text:
            raise UBPError(f"this shop's {self.column} is a text, not a whole number like {ids[0]}")
        if whole or self.is_text:
            return ids
        return np.array([whole_number(one, self.column) for one in ids.tolist()], np.int64)


def whole_number(text: str, column: str = "client_id") -> int:
    """Read a whole number of 64 bits: digits, nothing else.

    Raises
    ------
    UBPError
        If it is none.
    """
    if not re.fullmatch("0|-?[1-9][0-9]*", text) or not -(2**63) <= int(text) < 2**63:
        raise UBPError(f"this shop's {column} is a whole number of 64 bits, not {text!r}")
    return int(text)
