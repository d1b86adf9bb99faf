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
from ubp_platform.blocks.checkpoint import Checkpoint
from ubp_platform.blocks.ials_page_visits import IALSPageVisits
from ubp_platform.warehouse import Warehouse

NOON = pd.Timestamp("2022-06-10 12:00")
LATER = datetime(2022, 7, 1, tzinfo=UTC)


class TestIALSPageVisits(BlockContract):
    block_name = "ials_page_visits"

    def test_loss_goes_down(self, block: Block) -> None:
        losses = block.report_.curves["train"]
        assert len(losses) == block.iterations
        assert losses[-1] < losses[0]
        assert block.report_.loss == losses[-1]


def visits(rows: list[tuple[int, int]]) -> dict[str, pd.DataFrame]:
    frame = pd.DataFrame(rows, columns=["client_id", "url"])
    seconds = pd.to_timedelta(np.arange(len(frame)), "s")
    return {"page_visit": frame.assign(timestamp=NOON + seconds)}


def test_only_the_most_visited_pages_are_kept(tmp_path: Path) -> None:
    # Page 5 has three visits; 9, 2 and 7 have two each, 3 and 4 one.
    rows = [(1, 5), (2, 5), (3, 5), (1, 9), (2, 9), (1, 2), (3, 2), (3, 7), (3, 7), (4, 3), (4, 4)]
    with land(tmp_path / "warehouse.duckdb", visits(rows)) as warehouse:
        block = IALSPageVisits(items=3, factors=4).fit(warehouse.history(LATER))
        snapshot = block.encode(warehouse.history(LATER))
        everything = IALSPageVisits(factors=4).fit(warehouse.history(LATER))
    # Of equally visited pages, the one with the smaller id.
    np.testing.assert_array_equal(block.items_, [2, 5, 7])
    assert block.item_factors_.shape == (3, 4)
    np.testing.assert_array_equal(snapshot.client_ids, [1, 2, 3])
    np.testing.assert_array_equal(everything.items_, [2, 3, 4, 5, 7, 9])


@pytest.mark.parametrize("items", [None, 8])
def test_clients_of_one_taste_are_nearly_parallel(tmp_path: Path, items: int | None) -> None:
    visited = [(client, (client + 2 * step) % 10) for client in range(40) for step in range(3)]
    with land(tmp_path / "warehouse.duckdb", visits(visited)) as warehouse:
        history = warehouse.history(LATER)
        block = IALSPageVisits(factors=2, iterations=50, items=items).fit(history)
        snapshot = block.encode(history)
    vectors = snapshot.vectors / np.linalg.norm(snapshot.vectors, axis=1, keepdims=True)
    same = np.equal.outer(snapshot.client_ids % 2, snapshot.client_ids % 2)
    assert (vectors @ vectors.T)[same].min() > 0.95
    assert (vectors @ vectors.T)[~same].max() < 0.3


@pytest.mark.parametrize("after", [1, 4])
def test_a_resumed_fit_ends_with_the_same_weights(
    shop: Warehouse, tmp_path: Path, after: int
) -> None:
    def new() -> IALSPageVisits:
        return IALSPageVisits(factors=8, iterations=7)

    assert_resumed_equals_uninterrupted(
        new, shop.history(CUTOFF), tmp_path / "fit.safetensors", after
    )


def test_ctrl_c_keeps_the_iterations_that_were_run(shop: Warehouse) -> None:
    block = IALSPageVisits(factors=8).fit(shop.history(CUTOFF), Bars(at_advance=3))
    assert len(block.report_.curves["train"]) == 2
    assert block.report_.note == "interrupted after epoch 2 of 15"
    assert block.encode(shop.history(CUTOFF)).vectors.shape[1] == 8


def test_ctrl_c_in_the_first_iteration_is_not_swallowed(
    shop: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object, **__: object) -> float:
        raise KeyboardInterrupt

    monkeypatch.setattr("ubp_platform.blocks.ials.IALSLoss.__call__", interrupted)
    with pytest.raises(KeyboardInterrupt):
        IALSPageVisits(factors=8).fit(shop.history(CUTOFF))


def test_a_checkpoint_of_a_complete_fit_is_used_unchanged(shop: Warehouse, tmp_path: Path) -> None:
    checkpoint = Checkpoint(tmp_path / "fit.safetensors")
    whole = IALSPageVisits(factors=8).fit(shop.history(CUTOFF), checkpoint=checkpoint)
    again = IALSPageVisits(factors=8).fit(shop.history(CUTOFF), checkpoint=checkpoint)
    BlockContract.assert_same_fit(again, whole)
