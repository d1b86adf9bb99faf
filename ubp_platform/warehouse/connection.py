"""How DuckDB is set up, wherever the platform opens it."""

import duckdb

from ubp_platform.settings import Settings

#: An ingest has two databases open: one stages the delivery, the other is the warehouse.
INGEST_SHARE = 0.5


def database_name(connection: duckdb.DuckDBPyConnection) -> str:
    """Return the name of a connection's database, where its tables have views of the same name."""
    return str(connection.execute("SELECT current_database()").fetchall()[0][0])


def configure(connection: duckdb.DuckDBPyConnection, memory_share: float = 1.0) -> None:
    """Set a connection to UTC, to the limits of the settings, and to no output of its own.

    Parameters
    ----------
    connection : DuckDBPyConnection
    memory_share : float
        The part of the memory limit that this database may use, where a process has several.
    """
    options = {
        "TimeZone": "UTC",
        # DuckDB's own bar on stderr would disturb ours.
        "enable_progress_bar": False,
        **Settings.load().duckdb(memory_share),
    }
    for name, value in options.items():
        connection.execute(f"SET {name} = ?", [value])
