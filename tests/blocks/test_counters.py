import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.blocks.contract import BlockContract
from ubp_platform.blocks.counters import Counters
from ubp_platform.warehouse.history import History

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "counters.md"
CUTOFF = pd.Timestamp("2022-07-31 12:00")


class TestCounters(BlockContract):
    block_name = "counters"
    learned = False


def _times(days: list[float]) -> list[pd.Timestamp]:
    return [CUTOFF - pd.Timedelta(days=day) for day in days]


def _history() -> History:
    """Client 1 has the events counted by hand below; client 2 visits once, 400 days ago."""
    minute = 1 / 1440
    name = [5] + [0] * 15
    return History.of(
        {
            # A visit two days before the cutoff, 10 minutes later an addition, 5 later a purchase.
            "page_visit": pd.DataFrame(
                {"client_id": [1, 1, 1, 2], "url": [100, 100, 101, 100]}
            ).assign(timestamp=_times([20, 2, 2 - 1 * minute, 400])),
            "add_to_cart": pd.DataFrame({"client_id": [1], "sku": [7]}).assign(
                timestamp=_times([2 - 10 * minute])
            ),
            "product_buy": pd.DataFrame({"client_id": [1, 1], "sku": [7, 8]}).assign(
                timestamp=_times([2 - 15 * minute, 40])
            ),
            "search_query": pd.DataFrame({"client_id": [1], "query": [[9] * 16]}).assign(
                timestamp=_times([50])
            ),
            "product_properties": pd.DataFrame(
                {"sku": [7, 8], "category": [1, 2], "price": [10, 30], "name": [name, name]}
            ),
        },
        cutoff=str(CUTOFF),
    )


EXPECTED = {
    "any_total": 7,
    "any_7d": 4,
    "any_active_days": 4,
    "any_active_weeks": 4,
    "any_last_days": 2 - 15 / 1440,
    "any_first_days": 50,
    "buy_total": 2,
    "buy_1d": 0,
    "buy_3d": 1,
    "buy_30d": 1,
    "buy_60d": 2,
    "buy_fading_7d": np.exp(-(2 - 15 / 1440) / 7) + np.exp(-40 / 7),
    "buy_fading_180d": np.exp(-(2 - 15 / 1440) / 180) + np.exp(-40 / 180),
    "buy_interval_days": 38 + 15 / 1440,
    "buy_last_days": 2 - 15 / 1440,
    "add_last_days": 2 - 10 / 1440,
    "add_interval_days": 365,
    "remove_total": 0,
    "remove_last_days": 365,
    "search_60d": 1,
    "search_30d": 0,
    "visit_total": 3,
    # 50, 40 and 20 days ago, and one of four events.
    "sessions": 4,
    "sessions_30d": 2,
    "session_events": 7 / 4,
    "session_minutes": 15 / 4,
    # One session began 15 minutes before, the other with the purchase.
    "session_minutes_to_buy": 7.5,
    "session_buys": 2 / 4,
    "adds_per_visit": 1 / 3,
    "buys_per_add": 2,
    "removes_per_add": 0,
    "distinct_skus": 2,
    "distinct_skus_30d": 1,
    "top_sku_share": 2 / 3,
    "skus_bought_again": 0,
    "price_mean": (2 * 10 + 30) / 3,
    "price_max": 30,
    "price_min": 10,
    "price_total": 40,
    "distinct_categories": 2,
    "top_category_total": 2,
    "top_category_share": 2 / 3,
    "distinct_urls": 2,
    "top_url_share": 2 / 3,
    "category_1": 2,
    "category_2": 1,
    "category_3": 0,
    "cluster_1": 3,
    "page_1": 2,
    "page_2": 1,
    "query_1": 1,
    # 10, 10, 30: six of the seven edges are 10.
    "tier_1": 2,
    "tier_8": 0,
}


def test_counters_equal_those_counted_by_hand() -> None:
    history = _history()
    snapshot = Counters().fit(history).encode(history)
    found = dict(zip(snapshot.names or (), snapshot.vectors[0].tolist(), strict=True))
    wrong = {
        name: (found[name], value)
        for name, value in EXPECTED.items()
        if found[name] != pytest.approx(value, rel=1e-5)
    }
    assert not wrong


def test_ages_are_capped_at_a_year() -> None:
    history = _history()
    snapshot = Counters().fit(history).encode(history)
    found = dict(zip(snapshot.names or (), snapshot.vectors[1].tolist(), strict=True))
    ages = {value for name, value in found.items() if re.search("_(first|last)_days$", name)}
    assert ages == {365}
    assert found["visit_total"] == 1
    assert found["visit_60d"] == 0


def test_lists_stay_those_of_the_fit() -> None:
    """At another cutoff other pages are the most visited ones; the columns keep their meaning."""
    history = _history()
    block = Counters().fit(history)
    later = pd.DataFrame({"client_id": [3] * 9, "url": 999}).assign(timestamp=_times([1] * 9))
    shop = {"page_visit": later}
    new = History.of(shop, cutoff=str(CUTOFF))
    snapshot = block.encode(new)
    found = dict(zip(snapshot.names or (), snapshot.vectors[0].tolist(), strict=True))
    assert (found["visit_total"], found["page_1"]) == (9, 0)
    fitted = Counters().fit(new).encode(new)
    assert dict(zip(fitted.names or (), fitted.vectors[0], strict=True))["page_1"] == 9


def test_every_counter_is_documented() -> None:
    history = _history()
    names = Counters().fit(history).encode(history).names or ()
    text = PAGE.read_text("utf-8")
    patterns = re.findall(r"^\| `([\w{},…]+)` \|", text, re.MULTILINE)
    assert patterns
    documented = [re.compile(re.sub(r"\{(\w+)\}", r"(\\w+)", name)) for name in patterns]
    missing = [name for name in names if not any(one.fullmatch(name) for one in documented)]
    assert not missing
