"""Which files belong to which relation, and which layout fits."""

import gzip
from pathlib import Path

import pytest

from pipelines.ingest import ingest
from tests.layouts.layouts import TOML, write_layout
from tests.pipelines.deliveries import purchases
from tests.pipelines.landed import landed
from ubp_platform.errors import UBPError
from ubp_platform.home import Home
from ubp_platform.layouts.description import Layout, shipped
from ubp_platform.layouts.source import Source, recognise


def test_tables_in_folders_parts_and_packed_files_are_read(home: Home, tmp_path: Path) -> None:
    buys, visits = purchases(60), purchases(40).rename(columns={"sku": "url"})
    source = tmp_path / "delivery"
    for folder in ("product_buy.parquet", "page_visit/dt=2024-01-01", "page_visit/dt=2024-01-02"):
        (source / folder).mkdir(parents=True)
    buys.head(30).to_parquet(source / "product_buy.parquet" / "part-0.parquet")
    buys.tail(30).to_parquet(source / "product_buy.parquet" / "part-1.parquet")
    visits.head(20).to_csv(source / "page_visit/dt=2024-01-01/part-0.csv.gz", index=False)
    # Columns are matched by name.
    visits.tail(20)[["url", "client_id", "timestamp"]].to_csv(
        source / "page_visit/dt=2024-01-02/part-0.CSV", index=False
    )
    (source / "add_to_cart.csv.gz").write_bytes(
        gzip.compress(purchases(10).to_csv(index=False).encode())
    )
    result = ingest(home, str(source))
    assert landed(result) == (60, 0, 0)
    assert landed(result, "page_visit") == (40, 0, 0)
    assert landed(result, "add_to_cart") == (10, 0, 0)


def test_a_source_may_be_one_file(home: Home, tmp_path: Path) -> None:
    purchases(10).to_csv(tmp_path / "product_buy.csv", index=False)
    assert landed(ingest(home, str(tmp_path / "product_buy.csv"))) == (10, 0, 0)


def test_files_of_no_layout_or_several_are_reported(tmp_path: Path) -> None:
    (tmp_path / "unknown").mkdir()
    (tmp_path / "unknown" / "orders.csv").write_text("a,b\n1,2\n")
    with pytest.raises(UBPError, match=r"no known layout fits the files in .*\(orders\.csv\)"):
        recognise(Source.at(tmp_path / "unknown"), shipped())
    query = "SELECT a AS client_id FROM buys"
    toml = TOML.replace('["client_id"]', '["a"]')
    known = {
        name: Layout.read(write_layout(tmp_path / name, toml, product_buy=query))
        for name in ("one", "two")
    }
    with pytest.raises(UBPError, match="could be one and two: choose one with --layout"):
        recognise(Source.at(tmp_path / "unknown"), known)


@pytest.mark.parametrize(
    ("toml", "message"),
    [
        ("about = 1", r"layout\.toml: about: Input should be a valid string"),
        ("about =", r"layout\.toml: not readable TOML"),
        (TOML.replace("files", "fils"), r"layout\.toml: relation\.buys\.files: missing"),
        (TOML + "colour = 1", r"layout\.toml: relation\.buys\.colour: no such setting"),
        (TOML.replace('"UTC"', '"Mars/Base"'), "time_zone: there is no zone 'Mars/Base'"),
    ],
)
def test_invalid_settings_of_a_layout_are_named(tmp_path: Path, toml: str, message: str) -> None:
    directory = write_layout(tmp_path / "mine", toml, product_buy="SELECT 1")
    with pytest.raises(UBPError, match=message):
        Layout.read(directory)


def test_scripts_of_no_table_and_no_scripts_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UBPError, match=r"buys\.sql: there is no table 'buys'"):
        Layout.read(write_layout(tmp_path / "strange", buys="SELECT 1"))
    with pytest.raises(UBPError, match=r"empty has no TABLE\.sql with a SELECT"):
        Layout.read(write_layout(tmp_path / "empty"))
    with pytest.raises(UBPError, match=r"is not a layout: it has no layout\.toml"):
        Layout.read(tmp_path)
