from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from tests.blocks.contract import CUTOFF, BlockContract
from tests.shops import land
from ubp_platform.blocks.base import Block
from ubp_platform.blocks.ials import IALSCategories, IALSLoss
from ubp_platform.blocks.snapshot import Snapshot
from ubp_platform.errors import BlockUnavailable
from ubp_platform.warehouse import Warehouse

NOON = pd.Timestamp("2022-06-10 12:00")
LATER = datetime(2022, 7, 1, tzinfo=UTC)


class TestIALSCategories(BlockContract):
    block_name = "ials_categories"

    def test_loss_goes_down(self, block: Block) -> None:
        losses = block.report_.curves["train"]
        assert len(losses) == block.iterations
        assert losses[-1] < losses[0]
        assert block.report_.loss == losses[-1]

    def test_a_vector_is_the_solution_of_the_normal_equations(
        self, block: IALSCategories, warehouse: Warehouse, snapshot: Snapshot
    ) -> None:
        found = warehouse.history(CUTOFF).interactions(
            "category", {"product_buy": 3, "add_to_cart": 1}, block.items_
        )
        items = block.item_factors_.astype(np.float64)
        weights = found.matrix.toarray().astype(np.float64)
        for row in (0, 7, len(found.client_ids) - 1):
            liked = weights[row] > 0
            confidence = np.where(liked, 1 + block.alpha * weights[row], 1)
            left = (items.T * confidence) @ items
            left += block.regularization * np.eye(items.shape[1])
            vector = np.linalg.solve(left, (items.T * confidence) @ liked)
            np.testing.assert_allclose(snapshot.vectors[row], vector, rtol=1e-4, atol=1e-4)


def actions(rows: list[tuple[int, int]]) -> pd.DataFrame:
    frame = pd.DataFrame(rows, columns=["client_id", "sku"])
    return frame.assign(timestamp=NOON + pd.to_timedelta(np.arange(len(frame)), "s"))


def products(count: int) -> pd.DataFrame:
    skus = np.arange(count)
    name = [np.zeros(16, np.uint8)] * count
    return pd.DataFrame({"sku": skus, "category": skus, "price": 1, "name": name})


def test_clients_of_one_taste_are_nearly_parallel(tmp_path: Path) -> None:
    # Even clients buy from even categories, odd ones from odd categories, four different ones each.
    bought = [(client, (client + 2 * step) % 20) for client in range(40) for step in range(4)]
    tables = {"product_properties": products(20), "product_buy": actions(bought)}
    with land(tmp_path / "warehouse.duckdb", tables) as warehouse:
        # One factor per taste, and enough iterations to converge from any start.
        block = IALSCategories(factors=2, iterations=50).fit(warehouse.history(LATER))
        vectors = block.encode(warehouse.history(LATER)).vectors
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    cosine = unit @ unit.T
    same = np.equal.outer(np.arange(40) % 2, np.arange(40) % 2)
    assert cosine[same].min() > 0.99
    assert np.abs(cosine[~same]).max() < 0.01


def test_a_huge_count_is_solved(tmp_path: Path) -> None:
    bought = [(client, client % 3) for client in range(12)] + [(99, 0)] * 20_000
    tables = {"product_properties": products(3), "product_buy": actions(bought)}
    with land(tmp_path / "warehouse.duckdb", tables) as warehouse:
        block = IALSCategories().fit(warehouse.history(LATER))
        assert np.isfinite(block.encode(warehouse.history(LATER)).vectors).all()


def test_purchases_weigh_three_times_an_addition(tmp_path: Path) -> None:
    tables = {
        "product_properties": products(2),
        "product_buy": actions([(1, 0), (3, 1)]),
        "add_to_cart": actions([(2, 0), (2, 0), (2, 0), (3, 0)]),
    }
    with land(tmp_path / "warehouse.duckdb", tables) as warehouse:
        block = IALSCategories(factors=4).fit(warehouse.history(LATER))
        one, two, three = block.encode(warehouse.history(LATER)).vectors
    np.testing.assert_array_equal(one, two)
    assert not np.allclose(one, three)


def test_items_unknown_to_the_fit_are_ignored(tmp_path: Path) -> None:
    tables = {
        "product_properties": products(4),
        "product_buy": actions([(1, 0), (2, 1), (3, 0), (3, 2), (4, 3)]),
    }
    with land(tmp_path / "warehouse.duckdb", tables) as warehouse:
        block = IALSCategories(factors=4).fit(warehouse.history(LATER, np.array([1, 2])))
        np.testing.assert_array_equal(block.items_, [0, 1])
        snapshot = block.encode(warehouse.history(LATER))
    # Client 4 bought only from category 3, which the fit did not see.
    np.testing.assert_array_equal(snapshot.client_ids, [1, 2, 3])
    np.testing.assert_array_equal(snapshot.vectors[0], snapshot.vectors[2])


def test_only_products_without_a_category_make_it_unavailable(tmp_path: Path) -> None:
    with land(tmp_path / "warehouse.duckdb", {"product_buy": actions([(1, 77)])}) as warehouse:
        history = warehouse.history(LATER)
        with pytest.raises(BlockUnavailable, match="with a known category before 2022-07-01"):
            IALSCategories().fit(history)


@pytest.mark.filterwarnings("error")
def test_no_warning_about_threads_is_shown(
    shop: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    # implicit checks once per process.
    monkeypatch.setattr("implicit.utils._checked_blas_config", False)
    history = shop.history(LATER)
    IALSCategories(iterations=1).fit(history).encode(history)


@pytest.mark.parametrize("clients", [1, 5, 300])
def test_the_loss_is_as_defined_and_deterministic(clients: int) -> None:
    rng = np.random.default_rng(clients)
    confidence = sparse.random(clients, 20, 0.3, "csr", np.float32, random_state=rng)
    confidence.data += 1
    users, items = (rng.standard_normal((n, 4), np.float32) for n in (clients, 20))
    loss = IALSLoss(confidence, 0.5)
    wanted = confidence.toarray() > 0
    weights = np.where(wanted, confidence.toarray(), 1)
    squares = (weights * (wanted - users @ items.T) ** 2).sum()
    norms = (users**2).sum() + (items**2).sum()
    expected = (squares + 0.5 * norms) / weights.sum()
    assert loss(users, items) == pytest.approx(expected, rel=1e-5)
    assert len({loss(users, items) for _ in range(20)}) == 1
