"""Which values land, how they are stored, and which are quarantined by which rule."""

from datetime import datetime
from pathlib import Path

import pandas as pd
import pytest

from pipelines.ingest import ingest
from tests.pipelines.deliveries import as_text, deliver, layout, purchases, queries
from tests.pipelines.landed import events, landed, rows
from tests.shops import random_shop
from ubp_platform.errors import BatchRejected
from ubp_platform.home import Home

BAD = [
    ("client_id", 2**63, "whole number of 64 bits"),
    ("sku", None, "sku is present"),
    ("sku", "1e3.4", "sku is present and a whole number"),
    ("timestamp", "2999-01-01 00:00:00", "timestamp is not in the future"),
    ("timestamp", "infinity", "timestamp is present and a time"),
    ("timestamp", "-infinity", "timestamp is present and a time"),
    ("timestamp", "epoch", "timestamp is present and a time"),
    ("timestamp", "1970-01-01 00:00:00", "timestamp is not before 1995"),
    ("client_id", "5.12E+08", "client_id is present and a whole number"),
    ("client_id", "1001_2", "client_id is present and a whole number"),
    ("client_id", "007", "client_id is present and a whole number"),
    ("sku", "1_000", "sku is present and a whole number"),
    ("sku", "9223372036854774784.5", "sku is present and a whole number"),
    ("sku", "1.0000000000000000001", "sku is present and a whole number"),
    ("timestamp", "01/06/2022", "timestamp is present and a time"),
]
BAD_CODES = [
    (as_text(range(15)), "exactly 16 codes"),
    (as_text(range(17)), "exactly 16 codes"),
    (as_text([-1, *range(15)]), "no code below 0"),
    (as_text([256, *range(15)]), "no code above 255"),
    (as_text(["x", *range(15)]), "list of whole numbers"),
    (as_text([1.5, *range(15)]), "list of whole numbers"),
    ("", "list of whole numbers"),
]


def broken_rules(home: Home) -> list[str]:
    return [rule for (rule,) in rows(home, "SELECT rule FROM quarantine ORDER BY row_number")]


def test_each_rule_for_values_of_events(home: Home, tmp_path: Path) -> None:
    frame = purchases(1000).astype(object)
    for row, (column, value, _) in enumerate(BAD):
        frame.loc[50 * row, column] = value
    result = ingest(home, str(deliver(tmp_path / "delivery", ".csv", product_buy=frame)))
    assert landed(result) == (1000 - len(BAD), 0, len(BAD))
    for broken, (column, value, rule) in zip(broken_rules(home), BAD, strict=True):
        assert rule in broken, (column, value)


def test_each_rule_for_codes(home: Home, tmp_path: Path) -> None:
    texts = [as_text(range(16))] * 300
    for row, (text, _) in enumerate(BAD_CODES):
        texts[20 * row] = text
    delivery = tmp_path / "delivery"
    delivery.mkdir()
    queries(texts).to_csv(delivery / "search_query.csv", index=False)
    expected = (300 - len(BAD_CODES), 0, len(BAD_CODES))
    assert landed(ingest(home, str(delivery)), "search_query") == expected
    for broken, (text, rule) in zip(broken_rules(home), BAD_CODES, strict=True):
        assert rule in broken, text


def test_price_buckets(home: Home, tmp_path: Path) -> None:
    products = random_shop()["product_properties"]
    products.loc[:3, "price"] = [0, 99, 100, -1]
    result = ingest(home, str(deliver(tmp_path / "delivery", product_properties=products)))
    assert landed(result, "product_properties")[2] == 2
    assert sorted(rows(home, "SELECT row_number FROM quarantine")) == [(3,), (4,)]


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
def test_parquet_times_of_all_units_and_zones(home: Home, tmp_path: Path, unit: str) -> None:
    zones = {"product_buy": None, "add_to_cart": "UTC", "remove_from_cart": "Europe/Prague"}
    times = {
        table: pd.Series(pd.date_range("2022-06-01", periods=3, freq="h", tz=zone, unit=unit))
        for table, zone in zones.items()
    }
    tables = {table: purchases(3, timestamp=of) for table, of in times.items()}
    ingest(home, str(deliver(tmp_path / "delivery", **tables)))
    for table, of in times.items():
        utc = of.dt.tz_convert(None) if zones[table] else of
        assert sorted(row[1] for row in events(home, table)) == [t.to_pydatetime() for t in utc]


def test_offsets_in_text_are_respected(home: Home, tmp_path: Path) -> None:
    texts = [
        "2022-06-01 10:00:00",
        "2022-06-01T10:00:00Z",
        "2022-06-01 12:00:00+02:00",
        "2022-06-01T05:00:00-05:00",
        "2022-06-01 10:00:00.000",
        "2022-06-01 12:00:00 +0200",
        "2022-06-01 12:00:00 Europe/Prague",
        "2022-06-01 10:00:00 UTC",
    ]
    delivery = deliver(tmp_path / "delivery", ".csv", product_buy=purchases(8, timestamp=texts))
    assert landed(ingest(home, str(delivery))) == (8, 0, 0)
    assert {row[1] for row in events(home)} == {datetime(2022, 6, 1, 10)}


@pytest.mark.parametrize(("kind", "first"), [("float64", 2**53), ("float32", 2**24)])
def test_ids_that_a_double_cannot_distinguish_are_refused(
    home: Home, tmp_path: Path, kind: str, first: int
) -> None:
    small = purchases(client_id=pd.Series(range(100), dtype=kind))
    assert landed(ingest(home, str(deliver(tmp_path / "small", product_buy=small)))) == (100, 0, 0)
    large = purchases(client_id=pd.Series([first] * 100, dtype=kind))
    delivery = deliver(tmp_path / "large", product_buy=large)
    with pytest.raises(BatchRejected, match="merge with their neighbours; deliver them as whole"):
        ingest(home, str(delivery))
    assert len(events(home)) == 100


def test_a_line_that_begins_with_a_number_sign_is_not_a_comment(home: Home, tmp_path: Path) -> None:
    delivery = tmp_path / "delivery"
    delivery.mkdir()
    lines = [f"#{number},{number},2022-06-01 10:00:00,4" for number in range(1001, 1101)]
    (delivery / "product_buy.csv").write_text("\n".join(["Name,client_id,timestamp,sku", *lines]))
    assert landed(ingest(home, str(delivery))) == (100, 0, 0)
    titled = "\n".join(["# Orders export", "Name,client_id,timestamp,sku", *lines])
    (delivery / "product_buy.csv").write_text(titled)
    with pytest.raises(BatchRejected, match="missing column client_id"):
        ingest(home, str(delivery), "challenge")


TIMES = [
    ("2022-06-01 10:00:00+02:00 ", 8),
    (" 2022-06-01 10:00:00 Europe/Berlin ", 8),
    ("2022-06-01T10:00Z", 10),
    ("2022-06-01 10:00:00 +02", 8),
    ("2022-06-01 10:00:00 +2:00", None),
    ("2022-06-01 10:00:00+02:00:30", None),
    ("2022-06-01 10:00:00+99:00", None),
    ("2022-06-01 10:00:00 nowhere", None),
    ("2022-06-01 10:00:00 2", None),
]


def test_text_after_a_time_is_a_zone_or_makes_it_unreadable(home: Home, tmp_path: Path) -> None:
    frame = purchases(500).astype({"timestamp": object})
    for number, (text, _) in enumerate(TIMES):
        frame.loc[number, ["client_id", "timestamp"]] = [1000 + number, text]
    result = ingest(home, str(deliver(tmp_path / "delivery", ".csv", product_buy=frame)))
    unreadable = sum(hour is None for _, hour in TIMES)
    assert landed(result) == (500 - unreadable, 0, unreadable)
    found = dict(rows(home, "SELECT client_id, timestamp FROM product_buy WHERE client_id > 999"))
    for number, (text, hour) in enumerate(TIMES):
        assert found.get(1000 + number) == (hour and datetime(2022, 6, 1, hour)), text


def test_further_columns_may_have_any_name(home: Home, tmp_path: Path) -> None:
    names = ["original", "rule", "row_number", "number", "file", "filename"]
    frame = purchases(50).astype(object)
    frame[names] = "x"
    frame.loc[3, "client_id"] = ""
    result = ingest(home, str(deliver(tmp_path / "delivery", ".csv", product_buy=frame)))
    assert landed(result) == (49, 0, 1)
    file, row, original = rows(home, "SELECT file, row_number, original FROM quarantine")[0]
    assert (file, row) == ("product_buy.csv", 4)
    for name in names:
        assert f'"{name}":"x"' in original


def test_rows_are_numbered_within_their_file(home: Home, tmp_path: Path) -> None:
    folder = tmp_path / "in" / "product_buy"
    folder.mkdir(parents=True)
    for name in ("a", "b"):
        frame = purchases(30).astype(object)
        if name == "b":
            frame.loc[1, "sku"] = ""
        frame.to_csv(folder / f"{name}.csv", index=False)
    ingest(home, str(tmp_path / "in"))
    assert rows(home, "SELECT file, row_number FROM quarantine") == [("b.csv", 2)]


@pytest.mark.parametrize(
    ("column", "one", "other"),
    [
        ("timestamp", pd.Timestamp("2022-06-01"), pd.Timestamp("2022-06-01", tz="UTC")),
        ("client_id", pd.Series([1.0] * 5, dtype="float32"), pd.Series([2.0] * 5)),
    ],
)
def test_files_with_incompatible_types_are_refused(
    home: Home, tmp_path: Path, column: str, one: object, other: object
) -> None:
    folder = tmp_path / "in" / "product_buy"
    folder.mkdir(parents=True)
    purchases(5, **{column: one}).to_parquet(folder / "a.parquet")
    purchases(5, **{column: other}).to_parquet(folder / "b.parquet")
    with pytest.raises(BatchRejected, match=f"the column {column} has "):
        ingest(home, str(tmp_path / "in"))


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_hours_in_which_clocks_change_are_counted(home: Home, tmp_path: Path, suffix: str) -> None:
    times = ["2024-03-31 02:30", "2024-10-27 02:10", "2024-10-27 02:50", "2024-10-27 03:10"]
    times += ["2024-03-31 01:59", "2024-03-31 03:00", "2024-06-01 02:30", "2024-10-27 01:59"]
    frame = purchases(len(times), timestamp=times)
    mine = layout(tmp_path / "mine", product_buy="SELECT * FROM rows")
    text = (tmp_path / "mine" / "layout.toml").read_text()
    text = text.replace("UTC", "Europe/Berlin").replace("*.csv", f"*{suffix}")
    (tmp_path / "mine" / "layout.toml").write_text(text)
    if suffix == ".parquet":
        frame["timestamp"] = pd.to_datetime(frame["timestamp"])
    result = ingest(home, str(deliver(tmp_path / "delivery", suffix, product_buy=frame)), mine)
    said = "\n".join(result.notes)
    assert "1 times of product_buy.timestamp do not exist in Europe/Berlin" in said
    assert "2 times of product_buy.timestamp exist twice in Europe/Berlin" in said
    found = {time for (time,) in rows(home, "SELECT timestamp FROM product_buy")}
    # An hour later in summer time, and in winter time, the later of the two.
    assert datetime(2024, 3, 31, 1, 30) in found
    assert datetime(2024, 10, 27, 1, 10) in found


def test_rows_that_agree_in_all_columns_are_counted(home: Home, tmp_path: Path) -> None:
    once = purchases(20)
    frame = pd.concat([once, once.head(3), once.head(1), once.assign(sku=9)])
    frame = frame.sample(frac=1, random_state=0)
    result = ingest(home, str(deliver(tmp_path / "first", product_buy=frame)))
    assert landed(result) == (44, 0, 0)
    assert [file.repeated for file in result.files] == [4]
    assert any("equal another one in all columns" in note for note in result.notes)
    # Of known rows only the new copy counts, and none if no row occurs twice.
    more = pd.concat([frame, once.head(1), once.assign(sku=10)])
    assert ingest(home, str(deliver(tmp_path / "second", product_buy=more))).files[0].repeated == 0
