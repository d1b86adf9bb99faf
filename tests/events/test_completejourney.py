"""The real data of Complete Journey, and what becomes of them."""

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from pipelines.ingest import ingest
from pipelines.publish import publish
from pipelines.train import train
from ubp_platform.blocks.snapshot import Snapshot
from ubp_platform.errors import UBPError
from ubp_platform.events.completejourney import convert, minhash, package_data
from ubp_platform.home import Home, parse_time
from ubp_platform.profile.version import newest_version
from ubp_platform.store.retrieval import ProfileStore
from ubp_platform.warehouse import Warehouse


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    home = Home(home=tmp_path_factory.mktemp("journey"))
    result = ingest(home, "completejourney")
    assert result.notes[0] == (
        "1,469,307 transaction rows; dropped 12,997 of fuel, 4,694 of coupons and 8,789 with a "
        "quantity of zero or less"
    )
    assert not any(file.quarantined for file in result.files)
    return home


def test_what_was_dropped_and_what_was_kept_add_up(home: Home) -> None:
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
    dropped = convert(tmp_path, tmp_path)
    assert (dropped.rows, dropped.fuel, dropped.coupons, dropped.quantities) == (5, 1, 0, 1)
    listed = pd.read_parquet(tmp_path / "product_properties.parquet").set_index("sku")
    assert listed.index.tolist() == [1, 2]
    assert listed.loc[1, "price"] < listed.loc[2, "price"]
    # FUEL, GROCERY, WHOLE MILK: a missing type is replaced by the category or the department.
    assert listed["category"].to_dict() == {1: 2, 2: 1}
    assert len(pd.read_parquet(tmp_path / "product_buy.parquet")) == 3


def test_what_is_sold_later_changes_no_category_and_no_bucket(home: Home, tmp_path: Path) -> None:
    transactions = pd.read_parquet(package_data() / "transactions.parquet")
    known = transactions["transaction_timestamp"] < "2017-04-01"
    transactions[known].to_parquet(tmp_path / "transactions.parquet")
    shutil.copy(package_data() / "products.parquet", tmp_path)
    convert(tmp_path, tmp_path)
    early = pd.read_parquet(tmp_path / "product_properties.parquet").set_index("sku")
    with Warehouse(home.warehouse) as warehouse:
        late = warehouse.connection.execute("SELECT * FROM product_properties").df()
    late = late.set_index("sku")
    assert len(early) < len(late)
    columns = ["category", "price"]
    pd.testing.assert_frame_equal(early[columns], late.loc[early.index, columns], check_dtype=False)


def test_minhash_agrees_where_words_do() -> None:
    texts = pd.Series(["a b c d", "d c b a", "a b c e", "p q r s"])
    codes = minhash(texts)
    assert codes.shape == (4, 16)
    assert codes.dtype == np.uint8
    assert (codes[0] == codes[1]).all()
    # Three of five words are shared, so about 60% of the codes agree; none of the last's do.
    assert 0.3 < (codes[0] == codes[2]).mean() < 0.95
    assert (codes[0] == codes[3]).mean() < 0.2


def test_minhash_never_changes() -> None:
    """Codes are stored and learned from: they must be the same on every machine."""
    assert minhash(pd.Series(["white bread 20 oz"]))[0].tolist() == [
        247,
        144,
        100,
        204,
        36,
        12,
        215,
        153,
        235,
        24,
        225,
        37,
        175,
        99,
        255,
        45,
    ]


def test_a_directory_that_is_not_complete_journey(tmp_path: Path) -> None:
    with pytest.raises(UBPError, match=r"no transactions\.parquet in"):
        convert(tmp_path, tmp_path)
