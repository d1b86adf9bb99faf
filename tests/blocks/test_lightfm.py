from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.blocks.bars import Bars
from tests.blocks.contract import CUTOFF, BlockContract
from tests.blocks.interruption import assert_resumed_equals_uninterrupted
from tests.shops import land
from ubp_platform.blocks.base import Block
from ubp_platform.blocks.lightfm import LOWEST_WEIGHT, LightFMBlock
from ubp_platform.blocks.snapshot import Snapshot
from ubp_platform.errors import BlockUnavailable, UBPError
from ubp_platform.warehouse import Warehouse

NOON = pd.Timestamp("2022-06-10 12:00")
LATER = datetime(2022, 7, 1, tzinfo=UTC)
TINY = {"components": 8, "max_epochs": 4}
#: Even clients and products have taste 0, odd ones taste 1.
CLIENTS, SKUS = 60, 30

Tables = dict[str, pd.DataFrame]


class TestLightFM(BlockContract):
    block_name = "lightfm"

    def test_the_best_epoch_is_kept(self, block: Block) -> None:
        losses = block.report_.curves["validation"]
        assert block.report_.loss == min(losses)
        assert 0 <= block.report_.loss <= 1
        assert 1 <= len(losses) <= block.max_epochs

    def test_weights_are_summed_and_not_below_the_lowest(
        self, block: LightFMBlock, warehouse: Warehouse
    ) -> None:
        history = warehouse.history(CUTOFF)
        clients, weights = block._weights(history, block.items_)
        each = {}
        for name in block.needs:
            found = history.interactions("sku", {name: 1}, block.items_)
            rows = np.searchsorted(clients, found.client_ids)
            each[name] = np.zeros(weights.shape)
            each[name][rows] = found.matrix.toarray()
        total = each["product_buy"] + 0.7 * each["add_to_cart"] - 0.5 * each["remove_from_cart"]
        np.testing.assert_allclose(
            weights.toarray(), np.maximum(total, LOWEST_WEIGHT), rtol=1e-6, atol=1e-6
        )
        assert (weights.data < 0).any()


def actions(rows: list[tuple[int, int]]) -> pd.DataFrame:
    frame = pd.DataFrame(rows, columns=["client_id", "sku"])
    return frame.assign(timestamp=NOON + pd.to_timedelta(np.arange(len(frame)), "s"))


def queries(rows: list[tuple[int, int]]) -> pd.DataFrame:
    """Clients, and the code at all 16 positions of their query."""
    frame = pd.DataFrame(rows, columns=["client_id", "code"])
    frame["query"] = [np.full(16, code, np.uint8) for code in frame["code"]]
    return frame.assign(timestamp=NOON)


def two_tastes() -> Tables:
    """Make a shop in which all clients buy and add products of their own taste only.

    Names and queries have the code 100 or 101, which as numbers would be next to each other.
    """
    rng = np.random.default_rng(0)
    own = [(c, 2 * int(p) + c % 2) for c in range(CLIENTS) for p in rng.integers(0, SKUS // 2, 8)]
    skus = np.arange(SKUS)
    products = pd.DataFrame({"sku": skus, "category": skus % 2, "price": 1})
    products["name"] = [np.full(16, 100 + sku % 2, np.uint8) for sku in skus]
    return {
        "product_properties": products,
        "product_buy": actions(own[::2]),
        "add_to_cart": actions(own[1::2]),
        "search_query": queries([(c, 100 + c % 2) for c in range(0, CLIENTS, 3)]),
    }


def fit(tables: Tables, path: Path, **params: object) -> tuple[LightFMBlock, Snapshot]:
    with land(path / f"{len(list(path.iterdir()))}.duckdb", tables) as warehouse:
        history = warehouse.history(LATER, np.arange(CLIENTS))
        block = LightFMBlock.from_preset("small", **{"components": 16, **params}).fit(history)
        return block, block.encode(warehouse.history(LATER))


def encode(block: LightFMBlock, tables: Tables, path: Path) -> Snapshot:
    with land(path / f"{len(list(path.iterdir()))}.duckdb", tables) as warehouse:
        return block.encode(warehouse.history(LATER))


def scores(block: LightFMBlock, vector: np.ndarray) -> np.ndarray:
    return block.factors_.item_representations @ vector


@pytest.mark.parametrize("codes", ["indicators", "average"])
def test_two_tastes_separate(tmp_path: Path, codes: str) -> None:
    block, snapshot = fit(two_tastes(), tmp_path, codes=codes, max_epochs=15)
    unit = snapshot.vectors / np.linalg.norm(snapshot.vectors, axis=1, keepdims=True)
    cosine = unit @ unit.T
    same = np.equal.outer(snapshot.client_ids % 2, snapshot.client_ids % 2)
    assert cosine[same].mean() > 0.7
    assert cosine[~same].mean() < 0
    liked = np.equal.outer(snapshot.client_ids % 2, block.items_ % 2)
    found = snapshot.vectors @ block.factors_.item_representations.T
    assert (found[liked].mean() - found[~liked].mean()) > 1
    assert block.report_.loss < 0.3


def test_a_new_client_with_the_same_events_gets_the_same_vector(tmp_path: Path) -> None:
    tables = two_tastes()
    block, fitted = fit(tables, tmp_path)
    new = {name: frame.copy() for name, frame in tables.items()}
    for name in ("product_buy", "add_to_cart", "search_query"):
        new[name]["client_id"] += 1000
    snapshot = encode(block, new, tmp_path)
    np.testing.assert_array_equal(snapshot.client_ids, fitted.client_ids + 1000)
    np.testing.assert_allclose(snapshot.vectors, fitted.vectors, rtol=1e-5, atol=1e-6)


def test_a_removed_product_falls_below_an_untouched_one(tmp_path: Path) -> None:
    tables = two_tastes()
    # Clients of taste 0 remove product 0 from the cart, and never buy it.
    for name in ("product_buy", "add_to_cart"):
        frame = tables[name]
        tables[name] = frame[frame["sku"] != 0]
    removed = [(client, 0) for client in range(0, CLIENTS, 2)]
    without, _ = fit(tables, tmp_path)
    tables["remove_from_cart"] = actions(removed)
    block, snapshot = fit(tables, tmp_path)
    assert 0 in block.items_ and 0 not in without.items_
    found = snapshot.vectors @ block.factors_.item_representations.T + block.factors_.item_biases
    of_taste = snapshot.client_ids % 2 == 0
    touched = pd.concat([tables["product_buy"], tables["add_to_cart"]])
    for row in np.flatnonzero(of_taste):
        own = touched.loc[touched["client_id"] == snapshot.client_ids[row], "sku"]
        untouched = np.setdiff1d(np.arange(2, SKUS, 2), own)
        index = np.searchsorted(block.items_, 0)
        assert found[row, index] < found[row, np.searchsorted(block.items_, untouched)].mean()


def test_a_removal_lowers_the_product_for_that_client(tmp_path: Path) -> None:
    tables = two_tastes()
    block, _ = fit(tables, tmp_path)
    bought = {**tables, "product_buy": actions([(500, 2), (500, 4), (501, 2), (501, 4)])}
    bought["remove_from_cart"] = actions([(501, 6)])
    snapshot = encode(block, bought, tmp_path)
    kept, removed = snapshot.vectors[np.searchsorted(snapshot.client_ids, [500, 501])]
    index = np.searchsorted(block.items_, 6)
    assert scores(block, removed)[index] < scores(block, kept)[index] - 0.1


def test_queries_move_a_client_towards_products_of_their_codes(tmp_path: Path) -> None:
    tables = two_tastes()
    block, _ = fit(tables, tmp_path)
    # The same purchases of both tastes, different queries.
    tables["product_buy"] = actions([(c, sku) for c in (500, 501, 502) for sku in (2, 3)])
    tables["search_query"] = queries([(500, 100), (501, 101)])
    snapshot = encode(block, tables, tmp_path)
    rows = np.searchsorted(snapshot.client_ids, [500, 501, 502])
    even = block.items_ % 2 == 0
    preference = [
        scores(block, snapshot.vectors[row])[even].mean()
        - scores(block, snapshot.vectors[row])[~even].mean()
        for row in rows
    ]
    assert preference[0] > preference[2] > preference[1]


def test_codes_of_no_training_query_have_no_effect(tmp_path: Path) -> None:
    tables = two_tastes()
    block, _ = fit(tables, tmp_path)
    tables["product_buy"] = actions([(500, 2), (501, 2)])
    tables["search_query"] = queries([(500, 7)])
    snapshot = encode(block, tables, tmp_path)
    rows = np.searchsorted(snapshot.client_ids, [500, 501])
    np.testing.assert_allclose(*snapshot.vectors[rows], rtol=1e-5, atol=1e-6)


def test_products_unknown_to_the_fit_are_ignored(tmp_path: Path) -> None:
    tables = two_tastes()
    block, _ = fit(tables, tmp_path)
    tables["product_buy"] = actions([(500, 2), (500, 999), (501, 2), (502, 999)])
    snapshot = encode(block, tables, tmp_path)
    # Client 502 only bought what the fit did not see.
    assert {500, 501} <= set(snapshot.client_ids)
    assert 502 not in snapshot.client_ids
    np.testing.assert_array_equal(*snapshot.vectors[snapshot.client_ids >= 500])


def test_the_products_with_most_events_are_kept(tmp_path: Path) -> None:
    tables = two_tastes()
    block, _ = fit(tables, tmp_path, items=5)
    events = pd.concat([tables["product_buy"], tables["add_to_cart"]])["sku"].value_counts()
    expected = (
        events.rename_axis("sku").reset_index().sort_values(["count", "sku"], ascending=[0, 1])
    )
    np.testing.assert_array_equal(block.items_, np.sort(expected["sku"][:5]))


def test_shops_without_names_or_queries_or_both(tmp_path: Path) -> None:
    tables = two_tastes()
    for missing in (
        ["search_query"],
        ["product_properties"],
        ["search_query", "product_properties"],
    ):
        some = {name: frame for name, frame in tables.items() if name not in missing}
        block, snapshot = fit(some, tmp_path, max_epochs=3)
        assert len(snapshot.client_ids) == CLIENTS
        assert np.isfinite(snapshot.vectors).all()
        assert block.factors_.query_embeddings.any() == ("search_query" not in missing)


def test_clients_with_nothing_but_removals_and_huge_counts_are_encoded(tmp_path: Path) -> None:
    tables = two_tastes()
    tables["remove_from_cart"] = actions([(500, 3)] + [(501, 5)] * 2000)
    tables["product_buy"] = pd.concat([tables["product_buy"], actions([(502, 4)] * 5000)])
    _, snapshot = fit(tables, tmp_path)
    assert {500, 501, 502} <= set(snapshot.client_ids)
    assert np.isfinite(snapshot.vectors).all()
    assert np.linalg.norm(snapshot.vectors, axis=1).max() < 100


def test_shops_of_one_client_or_one_product(tmp_path: Path) -> None:
    for rows in ([(1, 5)], [(1, 5), (1, 6)], [(1, 5), (2, 5)]):
        block, snapshot = fit({"product_buy": actions(rows)}, tmp_path, max_epochs=2)
        assert len(snapshot.client_ids) == len({client for client, _ in rows})
        assert np.isfinite(snapshot.vectors).all()
        assert 0 <= block.report_.loss <= 1


@pytest.mark.parametrize("after", [1, 3])
def test_a_resumed_fit_ends_with_the_same_weights(
    shop: Warehouse, tmp_path: Path, after: int
) -> None:
    def new() -> LightFMBlock:
        return LightFMBlock(components=8, max_epochs=6, patience=6)

    assert_resumed_equals_uninterrupted(
        new, shop.history(CUTOFF), tmp_path / "fit.safetensors", after
    )


def test_ctrl_c_keeps_the_best_epoch(shop: Warehouse) -> None:
    block = LightFMBlock(**TINY).fit(shop.history(CUTOFF), Bars(at_advance=3))
    losses = block.report_.curves["validation"]
    assert len(losses) == 2
    best = int(np.argmin(losses)) + 1
    assert block.report_.note == f"interrupted after epoch 2 of 4; the best epoch ({best}) is kept"
    assert block.report_.loss == min(losses)
    assert block.encode(shop.history(CUTOFF)).vectors.shape[1] == 8


def test_ctrl_c_in_the_first_epoch_is_not_swallowed(shop: Warehouse) -> None:
    with pytest.raises(KeyboardInterrupt):
        LightFMBlock(**TINY).fit(shop.history(CUTOFF), Bars(at_advance=1))


def test_weights_that_are_no_longer_numbers_are_reported(shop: Warehouse) -> None:
    with pytest.raises(UBPError, match="no longer a number in epoch 1; leave the block out"):
        LightFMBlock(**TINY, learning_rate=1e30).fit(shop.history(CUTOFF))


def test_no_relevant_client_makes_it_unavailable(shop: Warehouse) -> None:
    with pytest.raises(
        BlockUnavailable,
        match=r"no relevant client has a product_buy or .* event of a known product",
    ):
        LightFMBlock(**TINY).fit(shop.history(CUTOFF, np.array([999])))
