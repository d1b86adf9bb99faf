"""What has changed between two revisions of a profile's snapshot."""

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import duckdb

from ubp_platform.blocks.snapshot import EMBEDDING, key_column
from ubp_platform.blocks.snapshot_files import check_snapshot
from ubp_platform.warehouse import Warehouse
from ubp_platform.warehouse.connection import configure
from ubp_platform.warehouse.delivery_times import landed_since


@dataclass(frozen=True)
class Revised:
    """A revision that replaces another one.

    Parameters
    ----------
    events : int, optional
        Events of the time before the cutoff that have landed since; None if that is not known.
    clients : int
        Those who have another profile, or have one now, or have none any more.
    """

    events: int | None
    clients: int


def compare(warehouse: Warehouse, cutoff: datetime, older: Path, newer: Path) -> Revised:
    """Say what is new in a revision."""
    made = check_snapshot(older).created
    check_snapshot(newer)
    key = key_column(older)
    with duckdb.connect() as connection:
        configure(connection)
        changed = connection.execute(
            f"""SELECT count(*) FROM read_parquet($older) AS o FULL JOIN read_parquet($newer) AS n
                ON o.{key} = n.{key} WHERE o.{EMBEDDING} IS DISTINCT FROM n.{EMBEDDING}""",  # noqa: S608
            {"older": str(older), "newer": str(newer)},
        ).fetchall()[0][0]
    return Revised(landed_since(warehouse.connection, cutoff, made) if made else None, int(changed))
