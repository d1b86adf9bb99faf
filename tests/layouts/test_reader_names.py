"""Names of columns: case and surrounding blanks are ignored, duplicates are refused."""

from pathlib import Path

import pytest

from pipelines.ingest import ingest
from tests.pipelines.landed import events, landed
from ubp_platform.errors import BatchRejected
from ubp_platform.home import Home


@pytest.mark.parametrize(
    "header",
    [
        "CLIENT_ID,TIMESTAMP,SKU",
        " Client_Id , timestamp,sku ",
        '"client_id","timestamp","sku"',
        "\ufeffclient_id,timestamp,sku",
    ],
)
def test_case_and_blanks_of_names_do_not_matter(home: Home, tmp_path: Path, header: str) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "product_buy.csv").write_text(f"{header}\n7,2022-06-01 10:00:00,4\n")
    assert landed(ingest(home, str(tmp_path / "in"))) == (1, 0, 0)
    assert [(row[0], row[2]) for row in events(home)] == [(7, 4)]


def test_two_columns_of_one_name_are_refused(home: Home, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "product_buy.csv").write_text(
        "client_id,timestamp,sku, SKU\n7,2022-06-01 10:00:00,4,5\n"
    )
    with pytest.raises(BatchRejected, match=r"product_buy\.csv: two columns are named 'sku'"):
        ingest(home, str(tmp_path / "in"))


def test_prices_of_events_and_a_catalogue_without_names_land(home: Home, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "product_buy.csv").write_text(
        "client_id,timestamp,sku,quantity,price\n7,2022-06-01 10:00:00,a-4,2,9.95\n"
    )
    (tmp_path / "in" / "product_properties.csv").write_text("sku,price\na-4,9.95\n")
    result = ingest(home, str(tmp_path / "in"))
    assert [file.landed for file in result.files] == [1, 1]
    assert events(home, "product_properties")[0][1:] == (None, 0, None)


ROW = "7,2022-06-01 10:00:00,4"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (f"\nclient_id,timestamp,sku\n{ROW}\n", "the line where the header should be is blank"),
        (
            f"sep=,\nclient_id,timestamp,sku\n{ROW}\n",
            "first line is 'sep=,', from a spreadsheet",
        ),
        (f"Orders\nclient_id,timestamp,sku\n{ROW}\n", "its columns are 'Orders'"),
        (f"client_id,timestamp,sku\n{ROW}\r\n{ROW}\n{ROW}\r\n", "lines have different endings"),
    ],
)
def test_lines_above_the_header_are_named(
    home: Home, tmp_path: Path, text: str, reason: str
) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "product_buy.csv").write_bytes(text.encode())
    with pytest.raises(BatchRejected) as rejected:
        ingest(home, str(tmp_path / "in"))
    assert reason in str(rejected.value)
    assert not home.warehouse.exists() or not events(home)
