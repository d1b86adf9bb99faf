import re
import tempfile
from datetime import UTC, datetime
from math import log, sqrt
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.blocks.contract import BlockContract
from tests.shops import land, plant_future, random_shop
from ubp_platform.blocks.handcrafted import Handcrafted
from ubp_platform.blocks.snapshot import Snapshot
from ubp_platform.events.schema import EVENT_TYPES
from ubp_platform.warehouse import Warehouse

# Noon, so that 24 hours before the cutoff and UTC days are not the same.
CUTOFF_TIME = pd.Timestamp("2022-07-31 12:00")
CUTOFF = CUTOFF_TIME.to_pydatetime().replace(tzinfo=UTC)
NEVER = 3650
PAGE = Path(__file__).parents[2] / "docs" / "reference" / "features.md"
#: The features as documented, in their order.
DOCUMENTED = re.findall(r"^\| `(\w+)` \|", PAGE.read_text("utf-8"), re.MULTILINE)

# The values of a client without events.
NOTHING = {
    name: NEVER if re.search("_(interval|first|last)_days$", name) else 0 for name in DOCUMENTED
}

# sku: (category, price); sku 9 is unknown.
PRODUCTS = {1: (10, 20), 2: (10, 50), 3: (11, 80)}
# (client, days before the cutoff, sku or url)
EVENTS = {
    "product_buy": [(1, 40, 1), (1, 10, 1), (1, 1, 2), (5, 7, 9)],
    "add_to_cart": [(1, 41, 1), (1, 10.25, 2), (1, 2, 3), (1, 1.75, 9), (2, 3, 1)],
    "remove_from_cart": [(1, 1.5, 3), (2, 2.5, 1), (2, 2, 1)],
    "page_visit": [
        (1, 13, 100),
        (1, 8, 100),
        (1, 0.25, 101),
        (2, 3, 100),
        (3, 20, 100),
        (3, 4000, 100),
    ],
}
# Events of sku 1: 3 of client 1, 3 of client 2; of 2 and of 3: 2 each; of 9: 1 each of 1 and 5.
# Visits of url 100: 2 of client 1, 1 of client 2, 2 of client 3; of 101: 1.
EXPECTED = {
    1: {
        "buy_total": 3,
        "buy_7d": 1,  # 1 day ago
        "buy_30d": 2,  # 1 and 10 days ago
        "buy_change_7d": 0,  # (1 - 1) / 2, before: 10 days ago
        "buy_change_30d": 1 / 3,  # (2 - 1) / 3, before: 40 days ago
        "buy_interval_days": 19.5,  # (40 - 1) / 2
        "buy_first_days": 40,
        "buy_last_days": 1,
        "add_total": 4,
        "add_7d": 2,  # 2 and 1.75 days ago
        "add_30d": 3,  # and 10.25
        "add_change_7d": 1 / 3,  # (2 - 1) / 3, before: 10.25
        "add_change_30d": 1 / 2,  # (3 - 1) / 4, before: 41
        "add_interval_days": 39.25 / 3,  # (41 - 1.75) / 3
        "add_first_days": 41,
        "add_last_days": 1.75,
        "visit_total": 3,
        "visit_7d": 1,
        "visit_30d": 3,
        "visit_change_7d": -1 / 3,  # (1 - 2) / 3, before: 13 and 8
        "visit_change_30d": 1,  # (3 - 0) / 3
        "visit_interval_days": 6.375,  # (13 - 0.25) / 2
        "visit_first_days": 13,
        "visit_last_days": 0.25,
        "remove_total": 1,
        "remove_7d": 1,
        "remove_30d": 1,
        "remove_change_30d": 1,
        "remove_last_days": 1.5,
        "distinct_skus": 4,  # 1, 2, 3, 9
        "distinct_categories": 2,  # 10, 11
        "distinct_urls": 2,
        "sku_popularity": (3 * log(7) + 2 * log(3) + 2 * log(3) + log(3)) / 8,
        "url_popularity": (2 * log(6) + log(2)) / 3,
        "price_mean": 40,  # (20 + 20 + 50 bought, 20 + 50 + 80 added) / 6
        "price_std": sqrt(500),  # (3 * 20² + 2 * 10² + 40²) / 6
        "price_total": 90,  # 20 + 20 + 50
        "cart_abandonment": 2 / 3,  # added on 06-20, 07-21, 07-29; bought on 06-21, 07-21, 07-30
        "added_skus_bought": 1 / 2,  # 1 and 2 of 1, 2, 3, 9
        "added_categories_bought": 1 / 2,  # 10 of 10, 11
        "active_weeks": 3,  # 0, 1 (days 7 to 12) and 5 (days 39 and 40)
        "active_days": 8,  # 0, 1, 7, 9, 10, 12, 39, 40
    },
    # Added one product, removed it twice (it was there twice), never bought.
    2: {
        "buy_total": 0,
        "buy_7d": 0,
        "buy_30d": 0,
        "buy_change_7d": 0,
        "buy_change_30d": 0,
        "buy_interval_days": NEVER,
        "buy_first_days": NEVER,
        "buy_last_days": NEVER,
        "add_total": 1,
        "add_7d": 1,
        "add_30d": 1,
        "add_change_7d": 1,  # (1 - 0) / 1
        "add_change_30d": 1,
        "add_interval_days": NEVER,  # of one event
        "add_first_days": 3,
        "add_last_days": 3,
        "visit_total": 1,
        "visit_7d": 1,
        "visit_30d": 1,
        "visit_change_7d": 1,
        "visit_change_30d": 1,
        "visit_interval_days": NEVER,
        "visit_first_days": 3,
        "visit_last_days": 3,
        "remove_total": 2,
        "remove_7d": 2,
        "remove_30d": 2,
        "remove_change_30d": 1,  # (2 - 0) / 2
        "remove_last_days": 2,
        "distinct_skus": 1,
        "distinct_categories": 1,
        "distinct_urls": 1,
        "sku_popularity": log(7),  # 3 events of sku 1, of 6
        "url_popularity": log(6),
        "price_mean": 20,  # removals do not count
        "price_std": 0,
        "price_total": 0,
        "cart_abandonment": 1,
        "added_skus_bought": 0,
        "added_categories_bought": 0,
        "active_weeks": 1,
        "active_days": 2,  # 3 and 2.5 days ago are day 2, 2 days ago is day 1
    },
    # Visits only, one of them more than ten years ago.
    3: {
        **NOTHING,
        "visit_total": 2,
        "visit_30d": 1,
        "visit_change_30d": 1,
        "visit_interval_days": NEVER,  # 3980, capped
        "visit_first_days": NEVER,  # 4000, capped
        "visit_last_days": 20,
        "distinct_urls": 1,
        "url_popularity": log(6),
        "active_weeks": 2,
        "active_days": 2,
    },
    # Bought one unknown product, exactly at the beginning of the last seven days.
    5: {
        **NOTHING,
        "buy_total": 1,
        "buy_7d": 1,
        "buy_30d": 1,
        "buy_change_7d": 1,
        "buy_change_30d": 1,
        "buy_first_days": 7,
        "buy_last_days": 7,
        "distinct_skus": 1,
        "sku_popularity": log(3),  # sku 9 has 2 events
        "active_weeks": 1,
        "active_days": 1,
    },
}


def shop_of(events: dict[str, list[tuple[int, float, int]]]) -> dict[str, pd.DataFrame]:
    products = pd.DataFrame(
        [(sku, category, price) for sku, (category, price) in PRODUCTS.items()],
        columns=["sku", "category", "price"],
    )
    tables = {"product_properties": products.assign(name=[np.zeros(16, np.uint8)] * 3)}
    for name, rows in events.items():
        item = "url" if name == "page_visit" else "sku"
        frame = pd.DataFrame(rows, columns=["client_id", "days", item])
        ago = pd.to_timedelta((frame["days"] * 86_400_000_000).astype("int64"), "us")
        tables[name] = frame.assign(timestamp=CUTOFF_TIME - ago)
    return tables


def encode(tables: dict[str, pd.DataFrame], cutoff: datetime = CUTOFF) -> Snapshot:
    with (
        tempfile.TemporaryDirectory() as directory,
        land(Path(directory) / "warehouse.duckdb", tables) as warehouse,
    ):
        return Handcrafted().encode(warehouse.history(cutoff))


@pytest.fixture(scope="module")
def known() -> Snapshot:
    at_cutoff = {
        name: [*rows, *[(1, 0, 1)] * 9, (2, -0.5, 1), (77, -1, 1)] for name, rows in EVENTS.items()
    }
    query = pd.DataFrame({"client_id": [4], "timestamp": CUTOFF_TIME - pd.Timedelta("1D")})
    query["query"] = [np.zeros(16, np.uint8)]
    return encode({**shop_of(at_cutoff), "search_query": query})


class TestHandcrafted(BlockContract):
    block_name = "handcrafted"
    learned = False

    def test_nothing_depends_on_the_relevant_clients(
        self, warehouse: Warehouse, block: Handcrafted, snapshot: Snapshot
    ) -> None:
        some = block.encode(warehouse.history(snapshot.cutoff, snapshot.client_ids[3:5]))
        np.testing.assert_array_equal(some.vectors, snapshot.vectors[3:5])


def test_only_clients_with_a_usable_event_have_features(known: Snapshot) -> None:
    np.testing.assert_array_equal(known.client_ids, [1, 2, 3, 5])


@pytest.mark.parametrize("client", EXPECTED)
@pytest.mark.parametrize("name", EXPECTED[1])
def test_feature_equals_the_value_by_hand(known: Snapshot, client: int, name: str) -> None:
    row = list(known.client_ids).index(client)
    value = known.vectors[row, known.names.index(name)]
    assert value == pytest.approx(EXPECTED[client][name], rel=1e-6)


# Just before a window begins, an event belongs to the window before it, if there is one.
MICROSECOND = 1 / 86_400_000_000


@pytest.mark.parametrize(
    ("days", "seen"),
    [
        (MICROSECOND, {"7d": 1, "30d": 1, "change_7d": 1, "change_30d": 1}),
        (7, {"7d": 1, "30d": 1, "change_7d": 1, "change_30d": 1}),
        (7 + MICROSECOND, {"7d": 0, "30d": 1, "change_7d": -1, "change_30d": 1}),
        (14, {"7d": 0, "30d": 1, "change_7d": -1, "change_30d": 1}),
        (14 + MICROSECOND, {"7d": 0, "30d": 1, "change_7d": 0, "change_30d": 1}),
        (30, {"7d": 0, "30d": 1, "change_7d": 0, "change_30d": 1}),
        (30 + MICROSECOND, {"7d": 0, "30d": 0, "change_7d": 0, "change_30d": -1}),
        (60, {"7d": 0, "30d": 0, "change_7d": 0, "change_30d": -1}),
        (60 + MICROSECOND, {"7d": 0, "30d": 0, "change_7d": 0, "change_30d": 0}),
    ],
)
def test_windows_begin_at_their_first_microsecond(days: float, seen: dict[str, float]) -> None:
    microseconds = round(days * 86_400_000_000)
    tables = shop_of({name: [(1, 0, 1)] for name in EVENTS})
    time = CUTOFF_TIME - pd.Timedelta(microseconds, "us")
    tables = {k: v.assign(timestamp=time) if k in EVENTS else v for k, v in tables.items()}
    snapshot = encode(tables)
    features = dict(zip(snapshot.names, snapshot.vectors[0], strict=True))
    for kind in ("buy", "add", "visit", "remove"):
        for feature, value in seen.items():
            if f"{kind}_{feature}" in features:
                assert features[f"{kind}_{feature}"] == value, (kind, feature)


def test_calendar_days_of_carts_are_utc() -> None:
    # Both within one day before the cutoff, but on the 30th and on the 31st.
    apart = {"add_to_cart": [(1, 0.75, 1)], "product_buy": [(1, 0.25, 2)]}
    # Both on the 30th, but in different days before the cutoff.
    together = {"add_to_cart": [(1, 1.25, 1)], "product_buy": [(1, 0.75, 2)]}
    for events, abandoned in ((apart, 1), (together, 0)):
        snapshot = encode(shop_of(events))
        assert snapshot.vectors[0, snapshot.names.index("cart_abandonment")] == abandoned


def test_each_feature_is_documented(known: Snapshot) -> None:
    assert list(known.names) == DOCUMENTED
    assert len(set(DOCUMENTED)) == len(DOCUMENTED)
    # The features of the paper come first, later ones follow.
    assert list(EXPECTED[1]) == DOCUMENTED[:42]


@settings(max_examples=10, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    clients=st.integers(1, 30),
    events=st.integers(1, 60),
    hours=st.integers(1, 60 * 24),
    present=st.sets(st.sampled_from(EVENT_TYPES), min_size=1),
)
def test_finite_in_bounds_and_blind_to_the_future(
    seed: int, clients: int, events: int, hours: int, present: set[str]
) -> None:
    tables = random_shop(seed, clients, events)
    time = pd.Timestamp("2022-06-01") + pd.Timedelta(hours=hours)
    cutoff = time.to_pydatetime().replace(tzinfo=UTC)
    planted = plant_future(tables, time)
    keep = {"product_properties", *present}
    ours = encode({k: v for k, v in tables.items() if k in keep}, cutoff)
    # Clients who are missing today may be there tomorrow.
    past = {k: v if k in keep else v[v["timestamp"] >= time] for k, v in planted.items()}
    other = encode(past, cutoff)
    np.testing.assert_array_equal(ours.client_ids, other.client_ids)
    np.testing.assert_array_equal(ours.vectors, other.vectors)
    assert np.isfinite(ours.vectors).all()
    for name, column in zip(ours.names, ours.vectors.T, strict=True):
        assert (np.abs(column) <= 1).all() or "change" not in name
        assert ((column >= 0) & (column <= NEVER)).all() or "_days" not in name
