from collections.abc import Iterator
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd
import pytest

from ubp_platform.events.schema import TABLES
from ubp_platform.warehouse.scan import Scan
from ubp_platform.warehouse.staged import StagedTable


@pytest.fixture
def connection() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as opened:
        yield opened


@pytest.mark.parametrize("rows_a_group", [7, 250, 1000, 5000])
def test_slices_are_full_however_small_the_row_groups_of_a_file_are(
    connection: duckdb.DuckDBPyConnection,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    rows_a_group: int,
) -> None:
    # Great Expectations takes a tenth of a second for a slice of any size.
    monkeypatch.setattr("ubp_platform.warehouse.scan.SLICE_ROWS", 1000)
    visits = pd.DataFrame({"client_id": range(3500), "timestamp": pd.Timestamp("2022-06-01")})
    visits["url"] = np.arange(3500) % 9
    path = tmp_path / "page_visit.parquet"
    visits.to_parquet(path, row_group_size=rows_a_group)
    scan = Scan(connection, StagedTable(TABLES["page_visit"], path, path.name, "UTC"))
    numbers, frames = zip(*scan.slices(), strict=True)
    assert max(map(len, frames[:-1])) < 1000 + rows_a_group
    assert min(map(len, frames[:-1])) >= 1000 or rows_a_group > 1000
    assert np.concatenate(numbers).tolist() == [*range(1, 3501)]
    assert np.concatenate([frame["client_id"] for frame in frames]).tolist() == [*range(3500)]
