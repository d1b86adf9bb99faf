"""The real data of Complete Journey, ingested."""

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from pipelines.ingest import ingest
from pipelines.publish import publish
from pipelines.train import train
from tests.pipelines.landed import rows
from ubp_platform.blocks.snapshot import Snapshot
from ubp_platform.errors import UBPError
from ubp_platform.events.completejourney import package_data
from ubp_platform.home import Home
from ubp_platform.profile.listing import newest_version
from ubp_platform.store.retrieval import ProfileStore
from ubp_platform.times import parse_time
from ubp_platform.warehouse import Warehouse


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    home = Home(home=tmp_path_factory.mktemp("journey"))
    result = ingest(home, "completejourney")
    assert result.notes[0] == "recognised the layout 'completejourney' by files and columns"
    assert (
        "from now on client_id, sku: whole numbers; category: text; price: money; name: words"
        in result.notes
    )
    assert (
        "rows dropped by the layout, 12,997: fuel; 8,789: a quantity of zero or less; "
        "4,694: coupons" in result.notes
    )
    assert not any(file.quarantined for file in result.files)
    return home


def test_dropped_and_kept_rows_add_up(home: Home) -> None:
    transactions = pd.read_parquet(package_data() / "transactions.parquet")
    with Warehouse(home.warehouse) as warehouse:
        span = warehouse.span("product_buy")
        assert span.rows == len(transactions) - 12_997 - 4_694 - 8_789
        buckets = warehouse.connection.execute(
            "SELECT price, count(*) AS n FROM product_properties GROUP BY price ORDER BY price"
        ).fetchnumpy()
        products = warehouse.span("product_properties").rows
    assert buckets["price"][0] == 0
    assert buckets["price"][-1] == 99
    # Many products cost exactly the same, so that buckets are only roughly equal.
    assert buckets["n"].max() < 0.08 * products


def test_offline_and_online_agree_bit_for_bit_for_every_household(home: Home) -> None:
    cutoff = parse_time("2017-12-18")
    train(home, ["ials_categories", "handcrafted"], cutoff)
    publish(home)
    store = ProfileStore(home)
    snapshot = Snapshot.read(newest_version(home).snapshot_path(cutoff))
    assert len(snapshot.client_ids) == 2465
    entities = pd.DataFrame({"client_id": snapshot.client_ids, "event_timestamp": cutoff})
    offline = store.training_set(entities)
    online = np.stack([profile.vector for profile in store.lookup_many(snapshot.client_ids)])
    assert offline.known.all()
    assert offline.X.tobytes() == online.tobytes()


def test_the_first_sale_sets_a_products_price_not_later_ones(tmp_path: Path) -> None:
    products = pd.DataFrame(
        {
            "product_id": [1, 2, 3],
            "department": ["GROCERY", "GROCERY", "FUEL"],
            "product_category": ["MILK", None, "FUEL"],
            "product_type": ["WHOLE MILK", None, None],
            "brand": "National",
            "package_size": None,
        }
    )
    sale = {"retail_disc": 0.0, "coupon_match_disc": 0.0, "household_id": 7, "quantity": 1}
    transactions = pd.DataFrame(
        [
            {**sale, "product_id": 1, "sales_value": 1.0, "transaction_timestamp": "2017-01-02"},
            {**sale, "product_id": 1, "sales_value": 9.0, "transaction_timestamp": "2017-01-05"},
            {**sale, "product_id": 2, "sales_value": 2.0, "transaction_timestamp": "2017-01-03"},
            {**sale, "product_id": 3, "sales_value": 2.0, "transaction_timestamp": "2017-01-03"},
            {**sale, "product_id": 2, "sales_value": 2.0, "transaction_timestamp": "2017-01-04"}
            | {"quantity": 0},
        ]
    )
    transactions["transaction_timestamp"] = pd.to_datetime(transactions["transaction_timestamp"])
    products.to_parquet(tmp_path / "products.parquet")
    transactions.to_parquet(tmp_path / "transactions.parquet")
    home = Home(home=tmp_path / "home")
    notes = ingest(home, str(tmp_path)).notes
    assert "rows dropped by the layout, 1: a quantity of zero or less; 1: fuel" in notes
    query = """SELECT sku, money, id, words FROM product_properties
               JOIN category_key ON category = key ORDER BY sku"""
    # A missing type is replaced by the category or the department.
    assert rows(home, query) == [
        (1, 1.0, "WHOLE MILK", "GROCERY MILK WHOLE MILK National"),
        (2, 2.0, "GROCERY", "GROCERY National"),
    ]
    assert rows(home, "SELECT sku, price FROM product_buy ORDER BY ALL") == [
        (1, 1.0),
        (1, 9.0),
        (2, 2.0),
    ]


def test_later_sales_change_no_category_and_no_price(home: Home, tmp_path: Path) -> None:
    transactions = pd.read_parquet(package_data() / "transactions.parquet")
    known = transactions["transaction_timestamp"] < "2017-04-01"
    (tmp_path / "early").mkdir()
    transactions[known].to_parquet(tmp_path / "early" / "transactions.parquet")
    shutil.copy(package_data() / "products.parquet", tmp_path / "early")
    early = Home(home=tmp_path / "home")
    ingest(early, str(tmp_path / "early"))
    query = """SELECT sku, money, id, name
               FROM product_properties JOIN category_key ON category = key"""
    some, all_ = (set(map(str, rows(one, query))) for one in (early, home))
    assert len(some) < len(all_)
    assert some <= all_


def test_a_directory_that_is_not_complete_journey(tmp_path: Path) -> None:
    (tmp_path / "other.csv").write_text("a,b\n1,2\n")
    with pytest.raises(UBPError, match=r"the layout completejourney needs .* as"):
        ingest(Home(home=tmp_path / "home"), str(tmp_path), "completejourney")
