"""The DuckDB file of a warehouse: opening it, creating its tables, adding what older ones lack."""

import re
import shutil
from pathlib import Path

import duckdb

from ubp_platform.errors import (
    DamagedFile,
    UBPError,
    WarehouseBusy,
    WarehouseMissing,
    disk_is_full,
    first_line,
)
from ubp_platform.events.schema import TABLES
from ubp_platform.files import atomic_file, make_directory, sync, sync_tree, temporary_directory
from ubp_platform.warehouse import delivery_times, identifiers, key_states, values
from ubp_platform.warehouse.casts import quoted
from ubp_platform.warehouse.connection import database_name

_LEDGER = """
CREATE TABLE batch (batch_id INTEGER PRIMARY KEY, source VARCHAR NOT NULL,
                    landed_at TIMESTAMP NOT NULL, data_docs VARCHAR, delivered_at TIMESTAMP,
                    complete_until TIMESTAMP);
CREATE TABLE batch_file (batch_id INTEGER NOT NULL, table_name VARCHAR NOT NULL,
                         file VARCHAR NOT NULL, sha256 VARCHAR NOT NULL, rows_read BIGINT NOT NULL,
                         rows_landed BIGINT NOT NULL, rows_known BIGINT NOT NULL,
                         rows_quarantined BIGINT NOT NULL, first_event TIMESTAMP,
                         last_event TIMESTAMP, first_delivered TIMESTAMP,
                         last_delivered TIMESTAMP);
CREATE TABLE quarantine (batch_id INTEGER NOT NULL, table_name VARCHAR NOT NULL,
                         file VARCHAR NOT NULL, row_number BIGINT NOT NULL, rule VARCHAR NOT NULL,
                         original JSON NOT NULL);
"""
# The numbers of reverted batches are never assigned again.
_RETRACTED = """
CREATE TABLE IF NOT EXISTS retracted (batch_id INTEGER NOT NULL, retracted_at TIMESTAMP NOT NULL)
"""


def open_database(path: Path, write: bool) -> duckdb.DuckDBPyConnection:
    """Open a warehouse's file with all tables of this release, creating it if it is to be written.

    Raises
    ------
    WarehouseBusy
        If another process has it open for writing.
    WarehouseMissing
        If there is no warehouse to read.
    """
    if write:
        _create(path)
    elif not path.exists():
        raise WarehouseMissing(f"no warehouse at {path} yet: run `ubp ingest SOURCE` first")
    connection = _connect(path, write)
    if not _is_up_to_date(connection):
        if not has_table(connection, "batch"):
            connection.close()
            raise WarehouseMissing(
                f"{path} is a database, but not a warehouse: remove it, then run `ubp ingest "
                "SOURCE`"
            )
        if write:
            _bring_up_to_date(connection)
        else:
            connection.close()
            open_database(path, write=True).close()
            connection = _connect(path, write)
    return connection


def rewrite(connection: duckdb.DuckDBPyConnection, path: Path) -> None:
    """Replace a warehouse's file by one without free blocks, and close the connection.

    Deleted rows leave their bytes in free blocks. The caller keeps other processes out.

    Raises
    ------
    UBPError
        If there is no room for a second file; the first one stays as it is.
    """
    path = path.resolve()  # of a link, what it leads to
    mode = path.stat().st_mode & 0o777
    with temporary_directory(path.parent) as directory:
        anew = directory / path.name
        try:
            connection.execute(f"ATTACH {quoted(anew)} AS anew")
            old = database_name(connection)
            connection.execute(f'COPY FROM DATABASE "{old}" TO anew')
            connection.execute("CHECKPOINT anew")
            connection.execute("DETACH anew")
            # The log would be of another file.
            connection.execute("CHECKPOINT")
        except duckdb.Error as error:
            if not disk_is_full(error):
                raise
            raise UBPError(
                f"there is no room for {path} a second time: {first_line(error)}"
            ) from None
        connection.close()
        path.with_name(f"{path.name}.wal").unlink(missing_ok=True)
        # What a killed process spilled.
        shutil.rmtree(path.with_name(f"{path.name}.tmp"), ignore_errors=True)
        sync_tree(directory)
        anew.chmod(mode)
        anew.replace(path)
    sync(path.parent)


def has_table(connection: duckdb.DuckDBPyConnection, name: str) -> bool:
    """Whether a database has a table."""
    return _binds(connection, f"FROM {name}")


def _binds(connection: duckdb.DuckDBPyConnection, query: str) -> bool:
    """Whether a query names what there is; in a fraction of the time that the catalog takes."""
    try:
        connection.execute(f"{query} LIMIT 0")
    except (duckdb.CatalogException, duckdb.BinderException):
        return False
    return True


def is_damage(error: duckdb.Error, path: Path) -> bool:
    """Whether an error of DuckDB comes from what is in a file."""
    if disk_is_full(error):
        return False
    if "Corrupt database" in str(error):
        return True
    if isinstance(error, duckdb.IOException):
        return path.name in str(error)
    return isinstance(
        error, duckdb.FatalException | duckdb.InternalException | duckdb.SerializationException
    )


def damaged(path: Path, error: duckdb.Error) -> DamagedFile:
    """Return the error that a warehouse's file is damaged."""
    return DamagedFile(
        f"{path} is damaged ({first_line(error)}): restore it from a backup, or remove {path} and "
        "deliver everything again with `ubp ingest SOURCE`"
    )


def _create(path: Path) -> None:
    """Create the file with its tables if there is none; it appears complete or not at all."""
    if path.exists():
        return
    make_directory(path.parent, private=path.parent)
    # Another process may be faster.
    with atomic_file(path, replace=False) as unfinished, _new_database(unfinished) as connection:
        connection.begin()  # one log entry for all
        connection.execute(_LEDGER)
        for table in TABLES.values():
            columns = ", ".join(
                f"{name} {kind}" + " NOT NULL" * (name in table.required)
                for name, kind in table.stored.items()
            )
            connection.execute(f"CREATE TABLE {table.name} ({columns}, batch_id INTEGER NOT NULL)")
        _bring_up_to_date(connection)
        connection.commit()
        # Closing would write the file as well, but would not report a full disk.
        connection.execute("CHECKPOINT")


def _new_database(path: Path) -> duckdb.DuckDBPyConnection:
    path.unlink()  # DuckDB takes no empty file
    return duckdb.connect(path)


def _bring_up_to_date(connection: duckdb.DuckDBPyConnection) -> None:
    """Add what a warehouse of an earlier release lacks."""
    connection.execute(_RETRACTED)
    identifiers.create_tables(connection)
    values.create_tables(connection)
    _add_delivery_times(connection)
    key_states.create_table(connection)
    for table in TABLES.values():
        for name in table.details:
            connection.execute(
                f"ALTER TABLE {table.name} ADD COLUMN IF NOT EXISTS {name} {table.stored[name]}"
            )
        for name in table.optional:
            connection.execute(f"ALTER TABLE {table.name} ALTER {name} DROP NOT NULL")


def _add_delivery_times(connection: duckdb.DuckDBPyConnection) -> None:
    """Say of older batches that they were delivered when they landed."""
    for table, names in {
        "batch": ("delivered_at", "complete_until"),
        "batch_file": ("first_delivered", "last_delivered"),
    }.items():
        for name in names:
            connection.execute(f"ALTER TABLE {table} ADD COLUMN IF NOT EXISTS {name} TIMESTAMP")
    connection.execute(
        """UPDATE batch SET delivered_at = landed_at WHERE delivered_at IS NULL;
           UPDATE batch_file SET first_delivered = landed_at, last_delivered = landed_at
           FROM batch WHERE batch.batch_id = batch_file.batch_id AND first_delivered IS NULL"""
    )
    delivery_times.complete(connection)


def _is_up_to_date(connection: duckdb.DuckDBPyConnection) -> bool:
    """Whether a warehouse has everything that :func:`_bring_up_to_date` adds."""
    return _binds(
        connection,
        """SELECT text_code.codes, page_visit.delivered_at, key_state.state, retracted.retracted_at,
                  batch.complete_until
           FROM text_code, page_visit, key_state, retracted, batch""",
    )


def _connect(path: Path, write: bool) -> duckdb.DuckDBPyConnection:
    try:
        return duckdb.connect(path, read_only=not write)
    except duckdb.Error as error:
        if "Could not set lock" not in str(error):
            if is_damage(error, path):
                raise damaged(path, error) from None
            if not isinstance(error, duckdb.IOException):
                raise
            raise UBPError(f"cannot open {path}: {first_line(error)}") from None
        holder = re.search(r"PID (\d+)", str(error))
        process = f"process {holder[1]}" if holder else "another process"
        raise WarehouseBusy(
            f"{path} is in use by {process}: wait until it has finished, then try again"
        ) from None
