"""What has changed between two revisions of a profile's snapshot."""

from dataclasses import dataclass
from pathlib import Path

import duckdb
import numpy as np

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
    changed = changed_clients(older, newer)
    return Revised(_more_events(warehouse, before, known), len(changed))


def changed_clients(older: Path, newer: Path) -> np.ndarray:
    """Return the clients whose profiles differ between two snapshots: keys, int64, ascending.

    Those who are in one of the two only among them.
    """
    for path in (older, newer):
        check_snapshot(path)
    key = key_column(older)
    with duckdb.connect() as connection:
        configure(connection)
        rows = connection.execute(
            f"""SELECT coalesce(o.{key}, n.{key}) AS client FROM read_parquet($older) AS o
                FULL JOIN read_parquet($newer) AS n ON o.{key} = n.{key}
                WHERE o.{EMBEDDING} IS DISTINCT FROM n.{EMBEDDING} ORDER BY client""",  # noqa: S608
            {"older": str(older), "newer": str(newer)},
        ).fetchnumpy()
    changed: np.ndarray = rows["client"].astype(np.int64)
    return changed


def _more_events(warehouse: Warehouse, before: SnapshotFile, known: Known) -> int | None:
    cutoff, made = before.cutoff, before.created
    if made is None:
        return None
    for was in (Known(landed_before=made), Known(delivered_before=cutoff, landed_before=made)):
        if warehouse.identity(cutoff, was) == before.made_from.history:
            now, then = (warehouse.history(cutoff, known=one).counts for one in (known, was))
            return sum(now.values()) - sum(then.values())
    return None
