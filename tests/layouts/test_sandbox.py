"""A layout from someone else must not be able to do harm."""

from pathlib import Path

import duckdb
import pandas as pd
import pytest

from tests.layouts.layouts import write_layout
from ubp_platform.errors import BatchRejected, UBPError
from ubp_platform.events.schema import TABLES
from ubp_platform.layouts.description import Layout
from ubp_platform.layouts.source import Source
from ubp_platform.layouts.staging import staging
from ubp_platform.warehouse.scan import Scan
from ubp_platform.warehouse.staged import StagedTable

SELECT = "SELECT client_id, timestamp, sku FROM buys"


def stage(tmp_path: Path, query: str, **views: str) -> Path:
    """Stage one table of a small source."""
    source = tmp_path / "source"
    source.mkdir()
    (source / "buys.csv").write_text("client_id,timestamp,sku\n1,2022-06-01,4\n")
    layout = write_layout(tmp_path / "mine", product_buy=query, **views)
    directory = tmp_path / "stage"
    directory.mkdir()
    delivery = Source.at(source).of(Layout.read(layout))
    with staging(delivery, directory) as opened:
        (part,) = opened.tables()
        return opened.stage(part).path


def test_the_select_is_staged(tmp_path: Path) -> None:
    assert stage(tmp_path, SELECT + " -- a comment;").is_file()


def test_views_may_read_views(tmp_path: Path) -> None:
    # In alphabetical order the view that is read comes last.
    first, second = "SELECT *, sku::INT + 1 AS next FROM second", SELECT
    path = stage(tmp_path, "SELECT client_id, timestamp, next AS sku FROM first",
                 _first=first, _second=second)  # fmt: skip
    assert duckdb.read_parquet(str(path)).fetchall() == [("1", "2022-06-01", 5)]


def test_views_that_read_each_other_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UBPError, match="views read each other: _first → _second → _first"):
        stage(tmp_path, "SELECT * FROM first", _first="FROM second", _second="FROM first")


@pytest.mark.parametrize(
    "query",
    [
        "SELECT 1 AS client_id FROM buys, read_text('{secret}')",
        "SELECT 1 AS client_id FROM buys, '{secret}'",
        "SELECT 1 AS client_id FROM buys, read_csv('{secret}')",
        "SELECT 1 AS client_id FROM buys, glob('{folder}/*')",
        "SELECT getenv('HOME') AS client_id FROM buys",
        "SELECT 1 AS client_id FROM buys, read_csv('https://example.com/x.csv')",
    ],
)
def test_nothing_but_the_source_and_the_layout_can_be_read(tmp_path: Path, query: str) -> None:
    secret = tmp_path / "secret.csv"
    secret.write_text("password\nx\n")
    with pytest.raises(UBPError, match=r"mine/product_buy\.sql(, line 1)?: "):
        stage(tmp_path, query.format(secret=secret, folder=tmp_path))


@pytest.mark.parametrize(
    "query",
    [
        "COPY (SELECT 1) TO '{folder}/source/written.csv'",
        "CREATE TABLE x AS SELECT 1",
        "SET memory_limit = '100GB'",
        "ATTACH '{folder}/other.duckdb'",
        "INSTALL httpfs",
        f"{SELECT}; {SELECT}",
        f"{SELECT}; COPY (SELECT 1) TO '{{folder}}/source/written.csv'",
        "",
    ],
)
def test_one_select_is_allowed_and_nothing_else(tmp_path: Path, query: str) -> None:
    with pytest.raises(UBPError, match=r"mine/product_buy\.sql: one SELECT is allowed"):
        stage(tmp_path, query.format(folder=tmp_path))
    assert {path.name for path in (tmp_path / "source").iterdir()} == {"buys.csv"}


def test_wrong_sql_is_reported_with_duckdbs_message_file_and_line(tmp_path: Path) -> None:
    with pytest.raises(UBPError, match=r"product_buy\.sql, line 2: .*syntax error"):
        stage(tmp_path, "SELECT client_id\nFROM WHERE buys")


def test_a_missing_column_is_reported_with_file_and_line(tmp_path: Path) -> None:
    with pytest.raises(UBPError, match=r'product_buy\.sql, line 2: .*"user_id" not found'):
        stage(tmp_path, "SELECT\n user_id FROM buys")


def test_a_file_without_a_column_that_the_layout_needs_is_named(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    (source / "buys.csv").write_text("client;timestamp;sku\n1;2022-06-01;4\n")
    layout = Layout.read(write_layout(tmp_path / "mine", product_buy=SELECT))
    with (
        pytest.raises(BatchRejected, match=r"buys\.csv: missing column client_id.* by commas"),
        staging(Source.at(source).of(layout), tmp_path),
    ):
        pass


@pytest.mark.parametrize(
    ("text", "utc"),
    [
        ("2026-07-01", "2026-06-30 22:00:00"),
        ("2026-07-01 02:00", "2026-07-01 00:00:00"),
        ("2026-07-01 02:00:00.5", "2026-07-01 00:00:00.5"),
        ("2026-07-01 02:00:00Z", "2026-07-01 02:00:00"),
        ("2026-07-01 02:00:00-0300", "2026-07-01 05:00:00"),
        ("2026-07-01 02:00:00 UTC", "2026-07-01 02:00:00"),
    ],
)
def test_times_without_a_zone_are_in_the_layouts_zone(tmp_path: Path, text: str, utc: str) -> None:
    path = tmp_path / "staged.parquet"
    row = {"client_id": [1], "timestamp": [text], "sku": [4]}
    pd.DataFrame(row).to_parquet(path)
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        Scan(connection, StagedTable(TABLES["product_buy"], path, "x", "Europe/Berlin"))
        found = connection.execute("SELECT timestamp FROM staged").fetchall()
    assert found == [(pd.Timestamp(utc).to_pydatetime(),)]
