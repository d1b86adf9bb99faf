import json
import re
import signal
from pathlib import Path
from urllib.parse import unquote

import duckdb
import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipelines.ingest import ingest
from tests.pipelines.deliveries import as_text, deliver, deliver_shop, purchases
from tests.pipelines.landed import events, landed, rows
from tests.processes import die, exit_code
from tests.shops import random_shop
from ubp_platform import files
from ubp_platform.errors import BatchRejected, WarehouseMissing
from ubp_platform.events.schema import EVENT_TYPES, TABLES
from ubp_platform.home import Home
from ubp_platform.warehouse import Warehouse, landing, ledger


@pytest.mark.parametrize("suffix", [".parquet", ".csv"])
def test_every_event_type_lands_as_it_was(home: Home, tmp_path: Path, suffix: str) -> None:
    shop = random_shop(events=300)
    result = ingest(home, str(deliver(tmp_path / "delivery", suffix, **shop)))
    assert {file.table for file in result.files} == set(TABLES)
    assert all(file.landed == len(shop[file.table]) for file in result.files)
    assert not any(file.quarantined for file in result.files)
    for name in EVENT_TYPES:
        frame = shop[name]
        expected = sorted(
            (
                row.client_id,
                row.timestamp.to_pydatetime(),
                list(row.query) if name == "search_query" else row[2],
            )
            for row in frame.rename_axis(None).itertuples(index=False, name="Row")
        )
        assert events(home, name) == expected


def test_times_may_be_text_or_times_and_codes_text_or_lists(home: Home, tmp_path: Path) -> None:
    codes = np.arange(16)
    as_lists = pd.DataFrame(
        {"client_id": [1], "timestamp": [pd.Timestamp("2022-06-01 10:00:00")], "query": [codes]}
    )
    as_texts = pd.DataFrame(
        {"client_id": [1], "timestamp": ["2022-06-01 10:00:00"], "query": [as_text(codes)]}
    )
    ingest(home, str(deliver(tmp_path / "lists", search_query=as_lists)))
    result = ingest(home, str(deliver(tmp_path / "texts", search_query=as_texts)))
    assert landed(result, "search_query") == (0, 1, 0)


def test_bad_rows_are_kept_with_the_rule_they_broke(home: Home, tmp_path: Path) -> None:
    frame = purchases().astype(object)
    frame.loc[3, "client_id"] = "x7"
    frame.loc[5, ["timestamp", "sku"]] = ["nonsense", "4_0"]
    frame.loc[7, "client_id"] = 1.5
    delivery = deliver(tmp_path / "delivery", ".csv", product_buy=frame)
    with (delivery / "product_buy.csv").open("a") as file:
        file.write("1,2022-06-01 10:00:00,4,9\n")
    assert landed(ingest(home, str(delivery))) == (97, 0, 4)
    found = rows(
        home,
        """SELECT table_name, file, batch_id, row_number, rule, original FROM quarantine
           ORDER BY row_number""",
    )
    assert {row[:3] for row in found} == {("product_buy", "product_buy.csv", 1)}
    assert [row[3] for row in found] == [4, 6, 8, 101]
    assert "client_id is present and a whole number" in found[0][4]
    assert "timestamp" in found[1][4]
    assert "sku is present and a whole number" in found[1][4]
    assert json.loads(found[0][5]) == {
        "client_id": "x7",
        "timestamp": "2022-06-01 03:00:00",
        "sku": "3",
    }
    assert json.loads(found[3][5]) == "1,2022-06-01 10:00:00,4,9"


def test_too_many_bad_rows_reject_the_batch(home: Home, tmp_path: Path) -> None:
    ingest(home, str(deliver(tmp_path / "first", product_buy=purchases(50))))
    before = events(home)
    bad = purchases(100)
    bad.loc[:5, "timestamp"] = pd.Timestamp("1970-01-01")
    visits = purchases(100).rename(columns={"sku": "url"})
    delivery = deliver(tmp_path / "second", product_buy=bad, page_visit=visits)
    with pytest.raises(
        BatchRejected, match=r"6 of 100 rows \(6\.0%\).*timestamp is not before 1995"
    ):
        ingest(home, str(delivery))
    assert events(home) == before
    assert not events(home, "page_visit")
    assert not rows(home, "SELECT * FROM quarantine")
    # 44 of the 94 good rows had landed with the first delivery.
    assert landed(ingest(home, str(delivery), max_quarantine=0.06)) == (50, 44, 6)


def test_a_column_that_is_wrong_throughout_rejects_whatever_is_allowed(
    home: Home, tmp_path: Path
) -> None:
    delivery = deliver(tmp_path / "delivery", product_buy=purchases(timestamp="x"))
    with pytest.raises(BatchRejected, match="no row obeys the rule 'timestamp"):
        ingest(home, str(delivery), max_quarantine=1.0)


def test_an_open_quote_does_not_swallow_the_rest_of_a_file(home: Home, tmp_path: Path) -> None:
    delivery = tmp_path / "delivery"
    delivery.mkdir()
    lines = ["client_id,timestamp,sku", *["5,2022-06-01 10:00:00,4"] * 60_000]
    for strays in ([30_000], [30_000, 30_500]):
        broken = lines.copy()
        for stray in strays:
            broken[stray] = '5,"2022-06-01 10:00:00,4'
        (delivery / "product_buy.csv").write_text("\n".join(broken) + "\n")
        with pytest.raises(BatchRejected, match="a quote is not closed"):
            ingest(home, str(delivery))
    assert not events(home)


def test_rejected_lines_are_counted_with_their_own_file(home: Home, tmp_path: Path) -> None:
    delivery = tmp_path / "delivery"
    deliver(
        delivery, ".csv", add_to_cart=purchases(50), product_buy=purchases(sku=["1_0"] + [1] * 99)
    )
    with (delivery / "product_buy.csv").open("a") as file:
        file.write("1,2,3,4,5\n1,2\n")
    result = ingest(home, str(delivery))
    assert landed(result) == (99, 0, 3)
    assert landed(result, "add_to_cart") == (50, 0, 0)
    for file in result.files:
        assert file.read == file.landed + file.known + file.quarantined


def test_file_names_in_capitals_and_files_of_no_table(home: Home, tmp_path: Path) -> None:
    delivery = deliver(tmp_path / "delivery", ".csv", product_buy=purchases())
    (delivery / "product_buy.csv").rename(delivery / "product_buy.CSV")
    (delivery / "product_buys_2.csv").write_text("x")
    result = ingest(home, str(delivery))
    assert landed(result) == (100, 0, 0)
    assert any("product_buys_2.csv" in note for note in result.notes)


def test_checking_stops_when_too_much_is_bad(
    home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ubp_platform.warehouse.scan.SLICE_ROWS", 2048)
    delivery = deliver(
        tmp_path / "delivery", product_buy=purchases(20_000, timestamp=pd.Timestamp("1970-01-01"))
    )
    with pytest.raises(BatchRejected, match=r"at least 2,048 of 20,000 rows"):
        ingest(home, str(delivery))


def test_a_database_that_is_not_a_warehouse_is_refused(home: Home, tmp_path: Path) -> None:
    home.root.mkdir(parents=True)
    duckdb.connect(home.warehouse).close()
    for use in (
        lambda: Warehouse(home.warehouse),
        lambda: ingest(home, str(deliver(tmp_path / "delivery", product_buy=purchases()))),
    ):
        with pytest.raises(WarehouseMissing, match="not a warehouse: remove it, then run"):
            use()


def test_a_warehouse_that_could_not_be_created_leaves_nothing(
    home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    delivery = str(deliver(tmp_path / "delivery", product_buy=purchases()))
    with monkeypatch.context() as patch:
        patch.setattr("ubp_platform.warehouse.database._LEDGER", "CREATE TABLE batch (")
        with pytest.raises(duckdb.Error):
            ingest(home, delivery)
    assert {path.name for path in home.root.iterdir()} == {".locks", "home.json"}
    with pytest.raises(WarehouseMissing, match="run `ubp ingest SOURCE` first"):
        Warehouse(home.warehouse)
    assert ingest(home, delivery).batch == 1


def test_files_and_events_delivered_twice_are_recognised(home: Home, tmp_path: Path) -> None:
    first = deliver(tmp_path / "first", product_buy=purchases())
    ingest(home, str(first))
    again = first.rename(tmp_path / "elsewhere")
    result = ingest(home, str(again))
    assert result.batch is None
    assert result.skipped == [("product_buy.parquet", 1)]
    other = deliver(tmp_path / "other", ".csv", product_buy=purchases(103))
    assert landed(ingest(home, str(other))) == (3, 100, 0)
    assert len(events(home)) == 103


_deliveries = st.lists(
    st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2), st.integers(0, 1)), min_size=1),
    min_size=1,
    max_size=4,
)


@settings(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(_deliveries)
def test_overlapping_deliveries_keep_the_most_copies_of_each_event(
    tmp_path_factory: pytest.TempPathFactory, deliveries: list[list[tuple[int, int, int]]]
) -> None:
    """Of equal events, the warehouse has as many as the delivery with most of them."""
    directory = tmp_path_factory.mktemp("overlap")
    home, most = Home(home=directory / "home"), {}
    for number, delivery in enumerate(deliveries):
        frame = pd.DataFrame(delivery, columns=["client_id", "hour", "sku"])
        frame["timestamp"] = pd.Timestamp("2022-06-01") + pd.to_timedelta(frame.pop("hour"), "h")
        for event, copies in frame.value_counts().items():
            most[event] = max(most.get(event, 0), copies)
        ingest(home, str(deliver(directory / str(number), product_buy=frame)))
    found = pd.DataFrame(events(home), columns=["client_id", "timestamp", "sku"])
    assert found[["client_id", "sku", "timestamp"]].value_counts().to_dict() == most


def test_product_properties_that_change_are_added(home: Home, tmp_path: Path) -> None:
    products = random_shop()["product_properties"]
    ingest(home, str(deliver(tmp_path / "first", product_properties=products)))
    changed = products.head(3).copy()
    changed.loc[1, "category"] = 77
    new = changed.loc[[2]].assign(sku=9999)
    result = ingest(
        home, str(deliver(tmp_path / "second", product_properties=pd.concat([changed, new])))
    )
    assert landed(result, "product_properties") == (2, 2, 0)
    query = "SELECT category, valid_from IS NULL FROM product_properties WHERE sku = 1"
    assert rows(home, f"{query} ORDER BY valid_from NULLS FIRST") == [(1, True), (77, False)]
    assert rows(home, "SELECT count(*) FROM product_properties") == [(len(products) + 2,)]


def test_events_of_unknown_skus_are_kept_and_counted(home: Home, tmp_path: Path) -> None:
    shop = random_shop()
    known = shop["product_properties"]
    frame = purchases(sku=known["sku"].max() + 1)
    result = ingest(
        home, str(deliver(tmp_path / "delivery", product_buy=frame, product_properties=known))
    )
    assert landed(result) == (100, 0, 0)
    assert any("100 events have skus without product properties" in n for n in result.notes)


def test_data_docs_have_a_page_for_each_file(home: Home, tmp_path: Path) -> None:
    result = ingest(home, str(deliver_shop(tmp_path / "delivery", events=100)))
    assert result.data_docs is not None
    index = result.data_docs.read_text()
    for name in TABLES:
        assert f"{name}.parquet.html" in index
    page = next(result.data_docs.parent.rglob("page_visit.parquet.html")).read_text()
    assert "url is present" in page
    links = re.findall(r'href="([^"]+)"', index)
    assert len(links) == len(TABLES)
    assert all((result.data_docs.parent / unquote(link)).is_file() for link in links)


def test_a_file_in_many_slices_gets_one_result(
    home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ubp_platform.warehouse.scan.SLICE_ROWS", 2048)
    frame = purchases(20_000)
    frame.loc[[10, 9_000, 19_999], "timestamp"] = pd.Timestamp("1970-01-01")
    result = ingest(home, str(deliver(tmp_path / "delivery", product_buy=frame)))
    assert landed(result) == (19_997, 0, 3)
    assert rows(home, "SELECT row_number FROM quarantine ORDER BY ALL") == [
        (11,),
        (9001,),
        (20_000,),
    ]
    page = next(home.data_docs.rglob("product_buy.parquet.json")).read_text()
    totals = {
        found["result"].get("element_count")
        for found in json.loads(page)["results"]
        if found["result"]
    }
    assert totals == {20_000}


def ingest_and_die(home: Home, delivery: Path, moment: str) -> None:
    """Ingest until a function of the landing or of the ledger is called."""
    setattr(ledger if moment == "record_batch" else landing, moment, die)
    ingest(home, str(delivery))


@pytest.mark.parametrize("moment", ["land_table", "_quarantine", "record_batch"])
def test_kill_9_leaves_the_warehouse_as_before_and_a_rerun_lands_the_batch(
    home: Home, tmp_path: Path, moment: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "_SECONDS_TO_LOCK", 0)
    frame = purchases(200_000, timestamp=pd.date_range("2022-06-01", periods=200_000, freq="s"))
    ingest(home, str(deliver(tmp_path / "first", product_buy=frame.head(50))))
    before = events(home)
    frame.loc[7, "timestamp"] = pd.Timestamp("1970-01-01")
    delivery = deliver(tmp_path / "second", product_buy=frame)
    assert exit_code(ingest_and_die, home, delivery, moment) == -signal.SIGKILL
    assert events(home) == before
    assert not rows(home, "SELECT * FROM quarantine")
    assert rows(home, "SELECT count(*) FROM batch") == [(1,)]
    assert landed(ingest(home, str(delivery))) == (200_000 - 50, 49, 1)
    assert {path.name for path in home.root.iterdir()} == {
        ".locks",
        "data_docs",
        "home.json",
        "warehouse.duckdb",
    }
