"""Profiles as they were served at past times, whatever has become known since."""

from collections.abc import Iterator
from datetime import UTC

import duckdb
import numpy as np
import pandas as pd

from ubp_platform.blocks.snapshot import EMBEDDING
from ubp_platform.blocks.snapshot_files import SnapshotFile, check_snapshot
from ubp_platform.profile.version import ProfileVersion
from ubp_platform.store.publish_log import PublishRecord, served_files
from ubp_platform.warehouse.connection import configure


def profiles_as_served(
    version: ProfileVersion, records: list[PublishRecord], keys: pd.DataFrame
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Find what a lookup would have returned at the time of each row.

    Parameters
    ----------
    version : ProfileVersion
    records : list of PublishRecord
        Oldest first.
    keys : DataFrame
        ``client_id``, ``event_timestamp`` (aware) and ``row``.

    Yields
    ------
    rows : ndarray of int64, shape (n,)
        Rows of clients who were known then.
    vectors : ndarray of float32, shape (n, width)
    """
    starts = pd.DatetimeIndex([record.served_from for record in records]).tz_convert(UTC)
    times = pd.DatetimeIndex(keys["event_timestamp"])
    # A publish is seen from its own instant on.
    served = (
        starts.searchsorted(times, side="right") - 1 if len(records) else np.full(len(keys), -1)
    )
    for number, record in enumerate(records):
        waiting = keys[["client_id", "row"]][served == number]
        for file in reversed(served_files(version, record) if len(waiting) else []):
            rows, vectors = _find(file, waiting)
            yield rows, vectors
            waiting = waiting[~waiting["row"].isin(rows)]
            if waiting.empty:
                break


def _find(file: SnapshotFile, wanted: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """Return the rows whose client is in a snapshot, and their profiles."""
    check_snapshot(file.path)
    with duckdb.connect() as connection:
        configure(connection)
        connection.register("wanted", wanted)
        query = f"""SELECT wanted.row, {EMBEDDING} FROM read_parquet($path) AS profile
                    JOIN wanted ON profile.client_id = wanted.client_id"""  # noqa: S608
        found = connection.sql(query, params={"path": str(file.path)}).to_arrow_table()
    flat = found[EMBEDDING].combine_chunks().flatten().to_numpy(zero_copy_only=False)
    return found["row"].to_numpy(), flat.reshape(-1, file.width)
