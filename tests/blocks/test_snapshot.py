"""Snapshot files."""

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from ubp_platform.blocks.snapshot import ROWS_PER_GROUP, Snapshot, iterate, thinned

CUTOFF = datetime(2022, 7, 1, tzinfo=UTC)


@pytest.mark.parametrize("count", [0, 1, 7, ROWS_PER_GROUP, 2 * ROWS_PER_GROUP + 5])
@pytest.mark.parametrize("count_limit", [1, 5, 100, ROWS_PER_GROUP - 1, 10**6])
def test_thinned_returns_evenly_spaced_clients(
    tmp_path: Path, count: int, count_limit: int
) -> None:
    vectors = np.arange(2 * count, dtype=np.float32).reshape(count, 2)
    Snapshot(CUTOFF, np.arange(count), vectors).write(tmp_path / "snapshot.parquet")
    found = thinned(tmp_path / "snapshot.parquet", count_limit)
    assert found.shape[1] == 2
    assert found.dtype == np.float32
    assert min(count, count_limit) / 2 <= len(found) <= count_limit
    step = max(1, -(-count // count_limit))
    np.testing.assert_array_equal(found, vectors[::step])


@pytest.mark.parametrize("rows", [ROWS_PER_GROUP, 1000])
def test_a_snapshot_is_read_with_the_memory_of_a_slice(tmp_path: Path, rows: int) -> None:
    groups, width = 12, 32
    count = groups * ROWS_PER_GROUP
    vectors = np.arange(count * width, dtype=np.float32).reshape(count, width)
    Snapshot(CUTOFF, np.arange(count), vectors).write(tmp_path / "snapshot.parquet")
    before, most = pa.total_allocated_bytes(), 0
    for ids, found in iterate(tmp_path / "snapshot.parquet", rows):
        np.testing.assert_array_equal(found, vectors[ids])
        most = max(most, pa.total_allocated_bytes() - before)
    assert most < 4 * vectors.nbytes / groups
