"""What has changed between two revisions of a profile's snapshot."""

from dataclasses import dataclass
from pathlib import Path

import duckdb

from ubp_platform.blocks.snapshot import EMBEDDING, key_column
from ubp_platform.blocks.snapshot_files import SnapshotFile, check_snapshot
from ubp_platform.warehouse import Warehouse
from ubp_platform.warehouse.connection import configure
from ubp_platform.warehouse.delivery_times import Known


@dataclass(frozen=True)
class Revised:
    """A revision that replaces another one.

    Parameters
    ----------
    events : int, optional
        How many more events of the time before the cutoff it knows; None where it is not known
        what the other one knew, as after a reverted batch.
    clients : int
        Those who have another profile, or have one now, or have none any more.
    """

    events: int | None
    clients: int


def compare(warehouse: Warehouse, older: Path, newer: Path, known: Known) -> Revised:
    """Say what is new in a revision, which was encoded with ``known``."""
    before = check_snapshot(older)
    check_snapshot(newer)
    key = key_column(older)
    with duckdb.connect() as connection:
        configure(connection)
        changed = connection.execute(
            f"""SELECT count(*) FROM read_parquet($older) AS o FULL JOIN read_parquet($newer) AS n
                ON o.{key} = n.{key} WHERE o.{EMBEDDING} IS DISTINCT FROM n.{EMBEDDING}""",  # noqa: S608
            {"older": str(older), "newer": str(newer)},
        ).fetchall()[0][0]
    return Revised(_more_events(warehouse, before, known), int(changed))


def _more_events(warehouse: Warehouse, before: SnapshotFile, known: Known) -> int | None:
    cutoff, made = before.cutoff, before.created
    if made is None:
        return None
    for was in (Known(landed_before=made), Known(delivered_before=cutoff, landed_before=made)):
        if warehouse.identity(cutoff, was) == before.made_from.history:
            now, then = (warehouse.history(cutoff, known=one).counts for one in (known, was))
            return sum(now.values()) - sum(then.values())
    return None
