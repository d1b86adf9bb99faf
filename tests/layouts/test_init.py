"""``ubp init`` drafts a working layout for undescribed files."""

import json
from pathlib import Path

import pandas as pd
import pytest

from pipelines.ingest import ingest
from pipelines.init import init
from tests.pipelines.commands import run_ubp
from tests.pipelines.landed import rows
from ubp_platform.errors import UBPError
from ubp_platform.home import Home
from ubp_platform.layouts.description import Layout

HOURS = range(24)


def log(**columns: object) -> pd.DataFrame:
    """An invented log: one row per event, its kind in a column."""
    kinds = ["Product View", "add to basket", "Removed item", "Order", "heartbeat", "searched"]
    frame = pd.DataFrame(
        {
            "Visitor": [f"v-{hour % 5}" for hour in HOURS],
            "when": [f"{hour % 28 + 1}.03.2026 {hour:02d}:15" for hour in HOURS],
            "action": [kinds[hour % 6] for hour in HOURS],
            "article no": [f"A{hour % 7}" for hour in HOURS],
            "unit price": [f"{hour % 7}.50" for hour in HOURS],
            "title": [f"Thing {hour % 7}" for hour in HOURS],
            "term": [f"thing {hour}" for hour in HOURS],
        }
    )
    return frame.assign(**columns)


def landed(home: Home, source: Path, layout: Path) -> dict[str, tuple[int, int]]:
    result = ingest(home, str(source), str(layout))
    return {file.table: (file.landed, file.quarantined) for file in result.files}


def test_a_log_with_kinds_of_events_runs_as_it_was_drafted(home: Home, tmp_path: Path) -> None:
    (tmp_path / "shop").mkdir()
    log().to_csv(tmp_path / "shop" / "log-2026-03.csv", index=False, sep=";")
    found = init(tmp_path / "shop", tmp_path / "layout")
    assert found.known == ""
    assert {column.name: column.role for column in found.families[0].columns} == {
        "Visitor": "client",
        "when": "time",
        "action": "kind",
        "article no": "product",
        "unit price": "price",
        "title": "name",
        "term": "query",
    }
    assert {path.name for path in found.draft.files} > {"layout.toml", "product_buy.sql"}
    assert landed(home, tmp_path / "shop", tmp_path / "layout") == {
        "product_properties": (7, 0),
        "product_buy": (4, 0),
        "add_to_cart": (4, 0),
        "remove_from_cart": (4, 0),
        "page_visit": (4, 0),
        "search_query": (4, 0),
    }
    # The day is first if a first number is above 12, or if dots separate the numbers.
    assert rows(home, "SELECT min(timestamp) FROM page_visit")[0][0].isoformat() == (
        "2026-03-01T00:15:00"
    )
    assert "heartbeat" in (tmp_path / "layout" / "page_visit.sql").read_text()


@pytest.mark.parametrize(
    ("times", "reading"),
    [
        (["1772445600", "1772445601"], 'from_seconds("at")'),
        (["1772445600000", "1772445601000"], 'from_milliseconds("at")'),
        (["1772445600000000", "1772445601000000"], 'from_microseconds("at")'),
        (["2026-03-02 10:00:00", "2026-03-02T10:00:01+02:00"], '"at"'),
        (["3/2/2026 9:05", "3/14/2026 10:05"], "try_strptime(\"at\", '%m/%d/%Y %H:%M')"),
        (["14/2/2026 9:05", "2/3/2026 10:05"], "try_strptime(\"at\", '%d/%m/%Y %H:%M')"),
        (["14.2.2026", "2.3.2026"], "try_strptime(\"at\", '%d.%m.%Y')"),
    ],
)
def test_times_are_read_as_they_are_written(
    home: Home, tmp_path: Path, times: list[str], reading: str
) -> None:
    frame = pd.DataFrame({"customer_id": [1, 2], "at": times, "sku": ["a", "b"]})
    (tmp_path / "shop").mkdir()
    frame.to_csv(tmp_path / "shop" / "orders.csv", index=False)
    init(tmp_path / "shop", tmp_path / "layout")
    assert f"{reading} AS timestamp" in (tmp_path / "layout" / "product_buy.sql").read_text()
    assert landed(home, tmp_path / "shop", tmp_path / "layout") == {"product_buy": (2, 0)}
    assert rows(home, "SELECT year(min(timestamp)) FROM product_buy") == [(2026,)]


def test_a_tree_with_values_in_its_folders_is_one_relation(home: Home, tmp_path: Path) -> None:
    for number, (kind, frame) in enumerate(log().groupby("action")):
        folder = tmp_path / "lake" / f"kind_of_event={kind}" / f"dt=2026-03-0{number + 1}"
        folder.mkdir(parents=True)
        frame = frame.drop(columns="action")
        frame["when"] = pd.to_datetime(frame["when"], format="%d.%m.%Y %H:%M")
        if number == 5:  # a column that came later
            frame = frame.assign(device="phone")
        frame.to_parquet(folder / "part-0.parquet")
    (family,) = init(tmp_path / "lake", tmp_path / "layout").families
    assert len(family.files) == 6
    found = landed(home, tmp_path / "lake", tmp_path / "layout")
    assert {table: rows for table, (rows, _) in found.items()} == {
        "product_properties": 7,
        **dict.fromkeys(
            ["product_buy", "add_to_cart", "remove_from_cart", "page_visit", "search_query"], 4
        ),
    }


def test_events_and_catalogue_in_two_files(home: Home, tmp_path: Path) -> None:
    shop = tmp_path / "shop"
    shop.mkdir()
    lines = [
        {
            "user": {"id": 1},
            "userId": f"u{n}",
            "createdAt": f"2026-03-02T10:00:{n:02d}Z",
            "sku": "a",
        }
        for n in range(9)
    ]
    (shop / "orders.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    pd.DataFrame({"sku": ["a"], "title": ["Ä"], "department": ["x"], "price": ["1.50"]}).to_csv(
        shop / "catalogue.csv", index=False
    )
    init(shop, tmp_path / "layout")
    assert Layout.read(tmp_path / "layout").relations.keys() == {"orders", "catalogue"}
    assert landed(home, shop, tmp_path / "layout") == {
        "product_properties": (1, 0),
        "product_buy": (9, 0),
    }


def test_equal_columns_in_files_of_two_events_are_two_tables(home: Home, tmp_path: Path) -> None:
    shop = tmp_path / "shop"
    shop.mkdir()
    rows = pd.DataFrame({"customer": ["a", "b"], "time": ["2026-03-02 10:00:00"] * 2, "sku": "x"})
    rows["state"] = ["paid", "cancelled"]
    rows.to_csv(shop / "orders.csv", index=False)
    rows[:1].to_csv(shop / "cart.csv", index=False)
    found = init(shop, tmp_path / "layout")
    assert landed(home, shop, tmp_path / "layout") == {"product_buy": (2, 0), "add_to_cart": (1, 0)}
    assert any("does not use: state. If one marks cancelled" in note for note in found.draft.notes)


def test_a_draft_of_one_day_reads_the_next(home: Home, tmp_path: Path) -> None:
    shop = tmp_path / "shop"
    shop.mkdir()
    log().to_csv(shop / "2026-03-01.csv", index=False)
    init(shop, tmp_path / "layout")
    (shop / "2026-03-01.csv").rename(shop / "2026-03-02.csv")
    assert landed(home, shop, tmp_path / "layout")["product_buy"] == (4, 0)


def test_a_catalogue_beside_the_days_of_a_log(home: Home, tmp_path: Path) -> None:
    """It says more of the products than the log does, and the next day is read."""
    shop, layout = tmp_path / "shop", tmp_path / "layout"
    shop.mkdir()
    log().to_csv(shop / "2026-03-01.csv", index=False)
    pd.DataFrame({"sku": ["A1", "A9"], "title": ["x", "y"], "category": ["tea", "rye"]}).to_csv(
        shop / "catalogue.csv", index=False
    )
    init(shop, layout)
    assert landed(home, shop, layout)["product_properties"] == (2, 0)
    later = log().assign(when=lambda day: day["when"].str.replace(".03.", ".04."))
    later.to_csv(shop / "2026-04-01.csv", index=False)
    assert landed(home, shop, layout)["product_buy"] == (4, 0)
    assert rows(home, "SELECT count(category) FROM product_properties") == [(2,)]


def test_files_without_events_are_refused_in_one_line(tmp_path: Path) -> None:
    shop = tmp_path / "shop"
    shop.mkdir()
    pd.DataFrame({"user_id": [1], "order_dow": [2], "product_id": [3]}).to_csv(
        shop / "orders.csv", index=False
    )
    with pytest.raises(UBPError, match=r"no file has a column that looks like a time.*orders\.csv"):
        init(shop, tmp_path / "layout")
    assert not (tmp_path / "layout").exists()
    (tmp_path / "text").mkdir()
    (tmp_path / "text" / "notes.txt").write_text("x")
    with pytest.raises(UBPError, match="no file with a suffix of CSV, NDJSON or Parquet"):
        init(tmp_path / "text", tmp_path / "layout")
    (shop / "empty.csv").write_text("")
    with pytest.raises(UBPError, match=r"empty\.csv: the file is empty"):
        init(shop, tmp_path / "layout")


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "shop").mkdir()
    log().to_csv(tmp_path / "shop" / "log.csv", index=False)
    layout = tmp_path / "mine"
    outcome = run_ubp(capsys, "init", tmp_path / "shop", "--layout", layout)
    assert outcome.code == 0
    assert "kind of event" in outcome.out
    assert f"ubp ingest {tmp_path / 'shop'} --layout {layout} --dry-run" in outcome.out
    outcome = run_ubp(capsys, "init", tmp_path / "shop", "--layout", layout)
    assert (outcome.code, "exists already" in outcome.err) == (2, True)
    outcome = run_ubp(capsys, "init", tmp_path / "nowhere")
    assert (outcome.code, "no such path" in outcome.err) == (2, True)


def test_reserved_words_as_column_names(home: Home, tmp_path: Path) -> None:
    (tmp_path / "shop").mkdir()
    for name in ("order", "select"):
        frame = pd.DataFrame({"client_id": ["a"], "time": ["3/14/2026 9:05 PM"], name: ["x"]})
        frame = frame.assign(product=name).drop(columns=name)
        frame.to_csv(tmp_path / "shop" / f"{name}.csv", index=False, sep=",;"[name == "select"])
    init(tmp_path / "shop", tmp_path / "layout")
    # Both files are read, although they differ.
    assert landed(home, tmp_path / "shop", tmp_path / "layout") == {"product_buy": (2, 0)}
    assert rows(home, "SELECT DISTINCT hour(timestamp) FROM product_buy") == [(21,)]


def test_ids_of_json_lines_stay_text(home: Home, tmp_path: Path) -> None:
    (tmp_path / "shop").mkdir()
    ids = ["550E8400-E29B-41D4-A716-446655440000", "550e8400-e29b-41d4-a716-446655440000"]
    lines = [
        {"user_id": one, "time": "2026-01-01T10:00:00Z", "event": "purchase", "product": "a"}
        for one in [*ids, "2026-01-01"]
    ]
    text = "".join(json.dumps(line) + "\n" for line in lines)
    (tmp_path / "shop" / "x.ndjson").write_text(text)
    init(tmp_path / "shop", tmp_path / "layout")
    landed(home, tmp_path / "shop", tmp_path / "layout")
    assert {one for (one,) in rows(home, "SELECT id FROM client_id_key")} == {*ids, "2026-01-01"}


def test_kinds_of_events_that_are_not_known_are_counted(home: Home, tmp_path: Path) -> None:
    (tmp_path / "shop").mkdir()
    log().to_csv(tmp_path / "shop" / "log.csv", index=False)
    init(tmp_path / "shop", tmp_path / "layout")
    more = log(action="Kauf")
    more.to_csv(tmp_path / "shop" / "log.csv", index=False, mode="a", header=False)
    notes = ingest(home, str(tmp_path / "shop"), str(tmp_path / "layout")).notes
    assert (
        "rows dropped by the layout, 24: kind of event: Kauf; 4: kind of event: heartbeat" in notes
    )


def test_a_log_in_german_runs_as_it_was_drafted(home: Home, tmp_path: Path) -> None:
    kinds = ["SEITE", "WARENKORB", "STORNO_WK", "KAUF", "SUCHE", "LOGIN"]
    frame = pd.DataFrame(
        {
            "Kunde": [f"K{hour % 5}" for hour in HOURS],
            "Zeitpunkt": [f"0{hour % 9 + 1}.03.2026 {hour:02d}:15:00" for hour in HOURS],
            "Aktion": [kinds[hour % 6] for hour in HOURS],
            "Artikel": [f"A{hour % 7}" for hour in HOURS],
            "Bezeichnung": [f"Stuhl {hour % 7}" for hour in HOURS],
            "Warengruppe": "Möbel",
            "Preis": [f"1.23{hour % 7},50" for hour in HOURS],
            "Menge": "2",
            "Seite": "/s/1",
            "Suchtext": "ein Stuhl",
        }
    )
    (tmp_path / "shop").mkdir()
    frame.to_csv(tmp_path / "shop" / "journal_2026_03.csv.gz", index=False, sep=";")
    init(tmp_path / "shop", tmp_path / "layout")
    counts = landed(home, tmp_path / "shop", tmp_path / "layout")
    assert counts.pop("product_properties") == (7, 0)
    assert set(counts.values()) == {(4, 0)}
    assert len(counts) == 5
    query = "SELECT timestamp, price, quantity FROM product_buy ORDER BY ALL LIMIT 1"
    ((time, price, quantity),) = rows(home, query)
    assert (str(time), price, quantity) == ("2026-03-01 09:15:00", 1232.5, 2.0)


@pytest.mark.parametrize(
    ("written", "read"),
    [("1,234.50", 1234.5), ("1.234,50", 1234.5), ("12,5", 12.5), ("12.50", 12.5), ("7", 7.0)],
)
def test_numbers_are_read_as_they_are_written(
    home: Home, tmp_path: Path, written: str, read: float
) -> None:
    frame = pd.DataFrame({"client": [1, 2], "time": "2026-03-01", "sku": ["a", "b"]})
    (tmp_path / "shop").mkdir()
    frame.assign(price=written).to_csv(tmp_path / "shop" / "orders.csv", index=False)
    init(tmp_path / "shop", tmp_path / "layout")
    assert landed(home, tmp_path / "shop", tmp_path / "layout")["product_buy"] == (2, 0)
    assert rows(home, "SELECT DISTINCT price FROM product_buy") == [(read,)]


def test_columns_that_could_not_be_guessed_are_left_to_fill_in(
    home: Home, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    frame = pd.DataFrame({"wer": ["a", "b"], "Zeitpunkt": "01.02.2026 10:00", "foo": ["x", "y"]})
    (tmp_path / "shop").mkdir()
    frame.to_csv(tmp_path / "shop" / "a.csv", index=False)
    said = run_ubp(capsys, "init", tmp_path / "shop", "--layout", tmp_path / "layout").out
    assert "product_buy.sql shows what to fill in" in said
    assert "Times that name no zone are read as UTC" in said
    query = tmp_path / "layout" / "product_buy.sql"
    text = query.read_text()
    assert "Which column is the client and which the product could not be guessed" in text
    with pytest.raises(UBPError, match="no row obeys the rule 'client_id is present"):
        ingest(home, str(tmp_path / "shop"), str(tmp_path / "layout"))
    query.write_text(
        text.replace("NULL AS client_id", "wer AS client_id").replace("NULL AS", "foo AS")
    )
    assert landed(home, tmp_path / "shop", tmp_path / "layout") == {"product_buy": (2, 0)}
