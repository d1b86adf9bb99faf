import numpy as np
import pandas as pd
import pytest

from tests.blocks.future_contract import DAY, FutureContract
from tests.shops import START
from ubp_platform.blocks.item_scores import ItemScores
from ubp_platform.errors import BlockUnavailable
from ubp_platform.warehouse.history import History

EMPTY_NAME = np.zeros(16, np.uint8).tolist()


class TestItemScores(FutureContract):
    block_name = "item_scores"
    # Fewer than the clients of the fit, so that the seed matters.
    params = {"clients": 15}  # noqa: RUF012

    @staticmethod
    def learned_by(block: ItemScores) -> object:
        return block.weights_.tolist()


def _shop(faithful: bool) -> History:
    """40 clients buy one of five products each third day: always their own, or a random one.

    Odd clients only visit.
    """
    rng = np.random.default_rng(3)
    clients = np.repeat(np.arange(2, 82, 2), 28)
    days = np.tile(np.arange(0, 84, 3), 40)
    own = clients % 5
    buys = pd.DataFrame({"client_id": clients, "sku": 100 + own})
    if not faithful:
        buys["sku"] = 100 + rng.integers(0, 5, len(buys))
    buys["timestamp"] = [START + DAY * int(day) for day in days]
    products = pd.DataFrame({"sku": np.arange(100, 105), "category": np.arange(5), "price": 7})
    products["name"] = [EMPTY_NAME] * 5
    visits = pd.DataFrame({"client_id": np.arange(1, 81, 2), "url": 1, "timestamp": START})
    frames = {"product_buy": buys, "product_properties": products, "page_visit": visits}
    return History.of(frames, cutoff=str(START + DAY * 84))


def test_a_client_that_comes_back_to_its_product_scores_it_highest() -> None:
    history = _shop(faithful=True)
    block = ItemScores().fit(history)
    found = block.encode(history)
    # Five categories, five products, one price.
    assert found.vectors.shape == (80, 11)
    buyers = found.client_ids % 2 == 0
    own = found.client_ids[buyers] % 5
    for fields in (slice(0, 5), slice(5, 10)):
        scores = found.vectors[buyers, fields]
        assert (scores.argmax(axis=1) == own).all()
        assert (scores.max(axis=1) > 1).all()
        assert (np.sort(scores, axis=1)[:, :-1] == 0).all()
    # Clients without purchases have a vector of zeros.
    assert (found.vectors[~buyers] == 0).all()
    assert block.report_.loss is not None
    assert block.report_.loss < 0.7


def test_where_nobody_comes_back_scores_are_small() -> None:
    faithful, fickle = (
        ItemScores().fit(history).encode(history).vectors[:, 5:10].std(axis=0).mean()
        for history in map(_shop, (True, False))
    )
    assert fickle < faithful / 3


def test_a_shop_without_purchases_is_unavailable() -> None:
    visits = pd.DataFrame({"client_id": [1, 2] * 30, "url": 3})
    visits["timestamp"] = [START + DAY * number for number in range(60)]
    history = History.of({"page_visit": visits}, cutoff=str(START + DAY * 60))
    with pytest.raises(BlockUnavailable, match="no client bought anything in 14 days"):
        ItemScores().fit(history)
