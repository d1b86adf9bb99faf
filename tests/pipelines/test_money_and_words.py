"""Money becomes buckets with frozen edges, words become codes; both are kept as delivered."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from pipelines.ingest import ingest
from tests.pipelines.deliveries import deliver, layout, purchases, queries
from tests.pipelines.landed import rows
from ubp_platform.blocks.counters import Counters
from ubp_platform.blocks.handcrafted import Handcrafted
from ubp_platform.errors import BatchRejected
from ubp_platform.events.text_codec import encode
from ubp_platform.home import Home
from ubp_platform.times import parse_time
from ubp_platform.warehouse import Warehouse


def catalogue(rows: int = 100, **columns: object) -> pd.DataFrame:
    frame = pd.DataFrame(
        {
            "sku": [f"S{number:03d}" for number in range(rows)],
            "category": [f"cat {number % 7}" for number in range(rows)],
            "price": [f"{number + 0.5:.2f}" for number in range(rows)],
            "name": [f"product number {number}" for number in range(rows)],
        }
    )
    return frame.assign(**columns)


def land(home: Home, directory: Path, **tables: pd.DataFrame) -> list[tuple[int, int]]:
    directory.mkdir()
    for name, frame in tables.items():
        frame.to_csv(directory / f"{name}.csv", index=False)
    return [(file.landed, file.quarantined) for file in ingest(home, str(directory)).files]


def test_buckets_hold_equally_many_and_their_edges_are_frozen(home: Home, tmp_path: Path) -> None:
    assert land(home, tmp_path / "first", product_properties=catalogue(200)) == [(200, 0)]
    query = "SELECT price, count(*) FROM product_properties GROUP BY price ORDER BY price"
    assert rows(home, query) == [(bucket, 2) for bucket in range(100)]
    edges = rows(home, "SELECT edge FROM price_edge ORDER BY edge")
    assert len(edges) == 99
    dear = catalogue(300).assign(price=[f"{1000 + n}.5" for n in range(300)])
    dear = dear.assign(sku=[f"T{number}" for number in range(300)])
    assert land(home, tmp_path / "second", product_properties=dear) == [(300, 0)]
    assert rows(home, "SELECT edge FROM price_edge ORDER BY edge") == edges
    assert rows(home, "SELECT DISTINCT price FROM product_properties WHERE money > 999") == [(99,)]
    assert rows(home, "SELECT money FROM product_properties WHERE sku = 17") == [(17.5,)]


def test_later_prices_and_repeated_rows_move_no_edge(home: Home, tmp_path: Path) -> None:
    first = catalogue(200)
    later = first.assign(price="9000.5", valid_from="2022-07-01")
    wrong = first.head(5).assign(price="8000.5")  # the row after it counts
    both = pd.concat([wrong, first, later])
    assert land(home, tmp_path / "first", product_properties=both) == [(400, 0)]
    query = "SELECT price, count(*) FROM product_properties WHERE valid_from IS NULL GROUP BY price"
    assert sorted(rows(home, query)) == [(bucket, 2) for bucket in range(100)]


@pytest.mark.parametrize("price", ["12,50", "EUR 3", "1e3", "-1.00", "0x10", "nan", "inf", "1 000"])
def test_invalid_amounts_are_quarantined(home: Home, tmp_path: Path, price: str) -> None:
    frame = catalogue()
    frame.loc[4, "price"] = price
    assert land(home, tmp_path / "delivery", product_properties=frame) == [(99, 1)]
    assert "price is" in rows(home, "SELECT rule FROM quarantine")[0][0]


@pytest.mark.parametrize("column", ["category", "price", "name"])
def test_product_properties_may_be_missing(home: Home, tmp_path: Path, column: str) -> None:
    frame = catalogue()
    frame.loc[4, column] = ""
    assert land(home, tmp_path / "some", product_properties=frame) == [(100, 0)]
    query = f"SELECT count(*) FROM product_properties WHERE {column} IS NULL"
    assert rows(home, query) == [(1,)]


def test_integer_prices_are_buckets_and_that_is_reported(home: Home, tmp_path: Path) -> None:
    delivery = deliver(tmp_path / "delivery", product_properties=catalogue(price=range(100)))
    notes = " ".join(ingest(home, str(delivery)).notes)
    assert "sku, category: text; price: buckets of 0–99" in notes
    assert "name: words" in notes
    assert rows(home, "SELECT money FROM product_properties WHERE price = 7") == [(None,)]


def test_words_are_kept_and_equal_texts_have_equal_codes(home: Home, tmp_path: Path) -> None:
    texts = ["Red  Wine", "red wine", " RED WINE ", "Café", "Café", "007", "NULL", "n/a", "???"]
    directory = tmp_path / "delivery"
    directory.mkdir()
    queries(texts).to_csv(directory / "search_query.csv", index=False)
    ingest(home, str(directory))
    landed = rows(home, "SELECT words, query FROM search_query ORDER BY client_id")
    assert [words for words, _ in landed] == texts
    codes = [tuple(code) for _, code in landed]
    assert codes[0] == codes[1] == codes[2] == tuple(encode(["red wine"])[0])
    assert codes[3] == codes[4]
    assert len(set(codes)) == 6
    assert rows(home, "SELECT count(*) FROM text_code") == [(6,)]


def test_blank_words_are_not_a_query(home: Home, tmp_path: Path) -> None:
    frame = queries(["bread"] * 60 + ["  "])
    assert land(home, tmp_path / "delivery", search_query=frame) == [(60, 1)]
    assert "query is present" in rows(home, "SELECT rule FROM quarantine")[0][0]


def test_price_paid_and_quantity_are_kept_and_distinguish_events(
    home: Home, tmp_path: Path
) -> None:
    query = "SELECT client_id, timestamp, sku, paid AS price, pieces AS quantity FROM rows"
    mine = layout(tmp_path / "mine", product_buy=query)
    frame = purchases(60, paid="9.95", pieces="3")
    frame.loc[1, ["paid", "pieces"]] = ""
    frame.loc[2, "pieces"] = "three"
    for name, landed in {"first": 59, "again": 0}.items():
        directory = tmp_path / name
        directory.mkdir()
        if name == "again":
            frame = frame.iloc[::-1]
        frame.to_csv(directory / "lines.csv", index=False)
        assert ingest(home, str(directory), mine).files[0].landed == landed
    query = "SELECT price, quantity, count(*) FROM product_buy GROUP BY ALL ORDER BY ALL"
    assert rows(home, query) == [(9.95, 3.0, 58), (None, None, 1)]
    other = frame.tail(1).assign(paid="8.00")
    (tmp_path / "other").mkdir()
    other.to_csv(tmp_path / "other" / "lines.csv", index=False)
    assert ingest(home, str(tmp_path / "other"), mine).files[0].landed == 1


def test_a_catalogue_in_codes_refuses_words_later(home: Home, tmp_path: Path) -> None:
    codes = [list(range(16))] * 100
    deliver(tmp_path / "first", product_properties=catalogue(name=codes, price=range(100)))
    ingest(home, str(tmp_path / "first"))
    with pytest.raises(BatchRejected, match="name is a text or a list of whole numbers"):
        land(home, tmp_path / "second", product_properties=catalogue(100, price=7, category="x"))


def test_texts_that_share_words_share_codes() -> None:
    one, other, none = encode(["organic whole milk", "organic low fat milk", "garden hose"])
    assert 2 <= (one == other).sum() <= 12
    assert (one == none).sum() <= 2
    assert np.array_equal(encode(["日本 酒", "日本 酒"])[0], encode(["酒 日本"])[0])


def test_blocks_read_the_shops_words_and_add_up_its_money(home: Home, tmp_path: Path) -> None:
    buys = purchases(3, client_id="ann", sku=["S003", "S004", "S099X"])
    searches = queries(["Oak  Table"]).assign(client_id="ann", timestamp="2022-06-01 05:00:00")
    visits = purchases(1, client_id="ann").rename(columns={"sku": "url"})
    land(
        home,
        tmp_path / "delivery",
        product_properties=catalogue(),
        product_buy=buys,
        search_query=searches,
        page_visit=visits.assign(url="/sale", timestamp="2022-06-01 06:00:00"),
    )
    with Warehouse(home.warehouse) as warehouse:
        history = warehouse.history(parse_time("2022-06-02"))
        (text,) = history.table("interactions_text", last=9, codes=3)["text"].to_pylist()
        (asked,) = history.table("queries_text", last=9, codes=3)["text"].to_pylist()
        features = Handcrafted().fit(history).encode(history)
    assert text.splitlines() == [
        "buy 1 Jun 2022 00:00 product number 3 cat 3 3.50",
        "buy 1 Jun 2022 01:00 product number 4 cat 4 4.50",
        "buy 1 Jun 2022 02:00 product S099X",
        "search 1 Jun 2022 05:00 query Oak  Table",
        "visit 1 Jun 2022 06:00 page /sale",
    ]
    assert asked.splitlines()[1] == "1 Jun 2022 05:00\tOak  Table"
    found = dict(zip(features.names, features.vectors[0].tolist(), strict=True))
    assert (found["price_total"], found["price_mean"], found["price_std"]) == (8.0, 4.0, 0.5)


def test_totals_include_the_price_of_all_pieces(home: Home, tmp_path: Path) -> None:
    """By hand: the price paid counts for all pieces; if missing, the product's price does."""
    query = "SELECT client_id, timestamp, sku, paid AS price, pieces AS quantity FROM rows"
    mine = layout(
        tmp_path / "mine",
        product_buy=query,
        add_to_cart=f"{query} WHERE client_id = 'bob'",
        product_properties="SELECT DISTINCT sku, 2.50 AS price FROM rows WHERE sku <> 'S3'",
    )
    frame = purchases(
        5, client_id=["ann", "ann", "ann", "bob", "eve"], sku=["S1", "S1", "S2", "S1", "S3"]
    )
    frame = frame.assign(paid=["9.99", "", "0.5", "4", ""], pieces=["2", "3", "", "0.125", "7"])
    (tmp_path / "delivery").mkdir()
    frame.to_csv(tmp_path / "delivery" / "lines.csv", index=False)
    ingest(home, str(tmp_path / "delivery"), mine)
    with Warehouse(home.warehouse) as warehouse:
        history = warehouse.history(parse_time("2022-06-02"))
        made = {}
        for block in (Handcrafted(), Counters()):
            snapshot = block.fit(history).encode(history)
            totals = snapshot.vectors[:, snapshot.names.index("price_total")]
            ids = warehouse.identifiers("client_id").ids(snapshot.client_ids)
            made[block.name] = dict(zip(ids.tolist(), totals.tolist(), strict=True))
    # 2 × 9.99 + 3 × 2.50 + 0.5; an eighth of 4; unknown. Additions to the cart cost nothing.
    expected = {"ann": pytest.approx(27.98), "bob": 0.5, "eve": 0}
    assert made == {"handcrafted": expected, "counters": expected}
