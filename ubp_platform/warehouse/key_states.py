"""What the keys of text ids stood for after each batch, as a chain of hashes.

A fit that has learned keys is of use only while they stand for the same ids. Keys are assigned in
the order in which ids land; so a warehouse that was emptied, or lost and filled again in another
order, may have others. Each batch adds a hash of the keys that are new since the one before, and
whoever depends on keys remembers the last one.
"""

import hashlib

import duckdb

from ubp_platform.errors import UBPError
from ubp_platform.events.schema import ID_COLUMNS

_COUNTS = ", ".join(f"{column}_keys BIGINT NOT NULL" for column in ID_COLUMNS)
_TABLE = f"""
CREATE TABLE IF NOT EXISTS key_state (batch_id INTEGER NOT NULL, state VARCHAR NOT NULL, {_COUNTS})
"""


def create_table(connection: duckdb.DuckDBPyConnection) -> None:
    """Create the table if it is missing."""
    connection.execute(_TABLE)


def extend(connection: duckdb.DuckDBPyConnection, batch: int) -> None:
    """Add the state after a batch, if there are text ids."""
    before = connection.execute(
        f"""SELECT state, {", ".join(f"{column}_keys" for column in ID_COLUMNS)} FROM key_state
            ORDER BY batch_id DESC LIMIT 1"""
    ).fetchall()
    state, counts = (str(before[0][0]), before[0][1:]) if before else ("", (0,) * len(ID_COLUMNS))
    parts, known = [state], []
    for column, count in zip(ID_COLUMNS, counts, strict=True):
        rows = connection.execute(
            f"""SELECT count(*), bit_xor(md5_number(key || ':' || id)) FROM {column}_key
                WHERE key >= ?""",
            [count],
        ).fetchall()
        known.append(count + rows[0][0])
        parts.append(str(rows[0]))
    if any(known):
        state = hashlib.sha256("\n".join(parts).encode()).hexdigest()
        values = ", ".join("?" for _ in (batch, state, *known))
        connection.execute(f"INSERT INTO key_state VALUES ({values})", [batch, state, *known])


def forget(connection: duckdb.DuckDBPyConnection) -> None:
    """Delete all states, with the keys."""
    connection.execute("DELETE FROM key_state")


def newest(connection: duckdb.DuckDBPyConnection, up_to: int | None = None) -> str:
    """Return the last state, or that of the last batch up to one; empty if there is none."""
    rows = connection.execute(
        """SELECT state FROM key_state WHERE batch_id <= coalesce(?, batch_id)
           ORDER BY batch_id DESC LIMIT 1""",
        [up_to],
    ).fetchall()
    return str(rows[0][0]) if rows else ""


def require(connection: duckdb.DuckDBPyConnection, state: str, what: str) -> None:
    """Check that keys still stand for the ids that they stood for.

    Parameters
    ----------
    connection : DuckDBPyConnection
    state : str
        As it was; empty if there were no text ids, or if it is not known.
    what : str
        What depends on it, for the message.

    Raises
    ------
    UBPError
        If they do not.
    """
    if not state:
        return
    query = "SELECT count(*) FROM key_state WHERE state = ?"
    if not connection.execute(query, [state]).fetchall()[0][0]:
        raise UBPError(
            f"{what} was fitted when this shop's text ids had other keys (the warehouse has been "
            "emptied since, or filled again in another order): `ubp train && ubp publish` makes a "
            "new version"
        )
