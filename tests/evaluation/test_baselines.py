"""The two baselines computed by hand; events from the cutoff on are ignored."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.pipelines.job import day
from tests.shops import END, START, land, plant_future, random_shop, shuffle
from ubp_platform.evaluation.baselines import baselines
from ubp_platform.evaluation.representations import Representation
from ubp_platform.warehouse import Warehouse

CUTOFF_TIME = pd.Timestamp("2022-07-01")
CUTOFF = day("2022-07-01")
WIDTH = 305

# sku: (category, price); sku 9 is unknown.
PRODUCTS = {1: (10, 20), 2: (10, 50), 3: (11, 80)}
# (client, time before the cutoff, sku or url)
EVENTS = {
    "product_buy": [(1, "1us", 1), (1, "1D", 1), (1, "1D1us", 2), (2, "40D", 3), (1, "0s", 3)],
    "add_to_cart": [(3, "7D", 9), (3, "7D1us", 3), (3, "30D", 3), (3, "30D1us", 3)],
    "remove_from_cart": [(1, "10D", 1)],
    "page_visit": [(4, "3D", 100), (1, "2D", 101), (4, "2h", 101), (4, "-1us", 100)],
    "search_query": [(2, "5D", 7)],
}
CLIENTS = np.array([4, 1, 77, 2, 3])


def tables() -> dict[str, pd.DataFrame]:
    products = pd.DataFrame(
        [(sku, category, price) for sku, (category, price) in PRODUCTS.items()],
        columns=["sku", "category", "price"],
    )
    made = {"product_properties": products.assign(name=[np.zeros(16, np.uint8)] * 3)}
    for name, rows in EVENTS.items():
        item = {"page_visit": "url", "search_query": "query"}.get(name, "sku")
        frame = pd.DataFrame(rows, columns=["client_id", "ago", item])
        if item == "query":
            frame[item] = [np.full(16, value, np.uint8) for value in frame[item]]
        made[name] = frame.assign(timestamp=CUTOFF_TIME - pd.to_timedelta(frame["ago"]))
    return made


@pytest.fixture(scope="module")
def warehouse(tmp_path_factory: pytest.TempPathFactory):
    path = tmp_path_factory.mktemp("baselines") / "warehouse.duckdb"
    with land(path, shuffle(tables())) as warehouse:
        yield warehouse


def numbers(found: Representation) -> np.ndarray:
    """Undo the logarithm."""
    matrix = np.hstack([part.columns for part in found.parts])
    assert matrix.dtype == np.float16
    back = np.expm1(matrix.astype(np.float64))
    assert np.allclose(back, back.round(), rtol=1e-2, atol=1e-2)
    return back.round().astype(int)


def made(warehouse: Warehouse, clients: np.ndarray = CLIENTS) -> list[Representation]:
    return baselines(warehouse.history(CUTOFF), clients)


def test_both_are_baselines_of_4_and_305_numbers(warehouse: Warehouse) -> None:
    found = made(warehouse)
    assert [(r.name, r.kind, r.width) for r in found] == [
        ("recency, frequency", "baseline", 4),
        ("counts", "baseline", WIDTH),
    ]


def test_recency_and_frequency_by_hand(warehouse: Warehouse) -> None:
    recency, _ = made(warehouse)
    # Days since the last purchase, purchases, days since the last event, events. The earliest
    # last event of a type is 39 full days ago (client 2's purchase), so "never" is 40.
    assert dict(zip(CLIENTS.tolist(), numbers(recency).tolist(), strict=True)) == {
        4: [40, 0, 0, 2],
        1: [0, 3, 0, 5],
        77: [40, 0, 40, 0],
        2: [39, 1, 4, 2],
        3: [40, 0, 6, 4],
    }


def columns(event: str, field: str, rank: int) -> slice:
    """Return the columns of a value's counts per day, week and month."""
    products = ("product_buy", "add_to_cart", "remove_from_cart")
    fields = [(name, field) for name in products for field in ("sku", "category", "price")]
    place = [*fields, ("page_visit", "url")].index((event, field))
    start = 5 + (place * 10 + rank) * 3
    return slice(start, start + 3)


def test_counts_by_hand(warehouse: Warehouse) -> None:
    _, counts = made(warehouse)
    found = dict(zip(CLIENTS.tolist(), numbers(counts), strict=True))
    # Purchases, carts, removals, visits, searches.
    assert {client: row[:5].tolist() for client, row in found.items()} == {
        4: [0, 0, 0, 2, 0],
        1: [3, 0, 1, 1, 0],
        77: [0, 0, 0, 0, 0],
        2: [1, 0, 0, 0, 1],
        3: [0, 4, 0, 0, 0],
    }
    expected = {client: np.zeros(WIDTH, int) for client in found}
    for client, event, field, rank, windows in [
        # sku 1 was bought twice, 2 and 3 once; a day ends exactly 24 hours before the cutoff.
        (1, "product_buy", "sku", 0, [2, 2, 2]),
        (1, "product_buy", "sku", 1, [0, 1, 1]),
        (1, "product_buy", "category", 0, [2, 3, 3]),
        (1, "product_buy", "price", 0, [2, 2, 2]),
        (1, "product_buy", "price", 1, [0, 1, 1]),
        # 40 days ago is no longer counted.
        (2, "product_buy", "sku", 2, [0, 0, 0]),
        # sku 3 three times, of which one is too long ago; sku 9 without category and price.
        (3, "add_to_cart", "sku", 0, [0, 0, 2]),
        (3, "add_to_cart", "sku", 1, [0, 1, 1]),
        (3, "add_to_cart", "category", 0, [0, 0, 2]),
        (3, "add_to_cart", "price", 0, [0, 0, 2]),
        (1, "remove_from_cart", "sku", 0, [0, 0, 1]),
        (1, "remove_from_cart", "category", 0, [0, 0, 1]),
        (1, "remove_from_cart", "price", 0, [0, 0, 1]),
        # Page 101 was visited twice, page 100 once before the cutoff.
        (4, "page_visit", "url", 0, [1, 1, 1]),
        (4, "page_visit", "url", 1, [0, 1, 1]),
        (1, "page_visit", "url", 0, [0, 1, 1]),
    ]:
        expected[client][columns(event, field, rank)] = windows
    for client, row in found.items():
        assert row[5:].tolist() == expected[client][5:].tolist(), client


def test_of_equally_frequent_values_the_ten_smallest_are_counted(tmp_path: Path) -> None:
    # Twelve pages visited once each, and page 50 twice.
    urls = [*range(60, 48, -1), 50]
    visits = pd.DataFrame({"client_id": 1, "timestamp": START, "url": urls})
    late = visits.head(1).assign(client_id=2, timestamp=CUTOFF_TIME - pd.Timedelta("1h"), url=58)
    shop = {"page_visit": pd.concat([visits, late]), "product_buy": tables()["product_buy"]}
    with land(tmp_path / "warehouse.duckdb", shop) as warehouse:
        _, counts = baselines(warehouse.history(CUTOFF), np.array([1, 2]))
    of_urls = numbers(counts)[:, -30:].reshape(2, 10, 3)
    # First 50 and 58, twice each, then 49, 51, …, 57; 59 and 60 are too many.
    assert of_urls[1].tolist() == [[0, 0, 0], [1, 1, 1], *[[0, 0, 0]] * 8]
    # Exactly 30 days ago is within the month.
    assert of_urls[0].tolist() == [[0, 0, 2], *[[0, 0, 1]] * 9]


def test_the_order_of_clients_is_the_order_of_rows(warehouse: Warehouse) -> None:
    order = np.argsort(CLIENTS)
    for ours, sorted_ in zip(made(warehouse), made(warehouse, np.sort(CLIENTS)), strict=True):
        np.testing.assert_array_equal(numbers(ours)[order], numbers(sorted_))


def test_who_else_is_listed_changes_nothing(warehouse: Warehouse) -> None:
    for ours, alone in zip(made(warehouse), made(warehouse, CLIENTS[1:2]), strict=True):
        np.testing.assert_array_equal(numbers(ours)[1:2], numbers(alone))


def test_rows_at_and_after_the_cutoff_change_nothing(tmp_path: Path) -> None:
    shop = random_shop(seed=4)
    cutoff = START + (END - START) / 2
    at = cutoff.to_pydatetime().replace(tzinfo=CUTOFF.tzinfo)
    clients = np.arange(0, 70)
    with land(tmp_path / "shop.duckdb", shop) as warehouse:
        before = baselines(warehouse.history(at), clients)
    with land(tmp_path / "planted.duckdb", plant_future(shop, cutoff)) as planted:
        after = baselines(planted.history(at), clients)
    assert [r.identity for r in before] == [r.identity for r in after]
    assert numbers(before[1]).sum() > 1000
