"""Fits of a network by several processes, which learn from shares of each batch."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file
from torch import distributed

from tests.processes import start
from tests.shops import END
from ubp_platform.blocks.base import Block
from ubp_platform.blocks.checkpoint import Checkpoint
from ubp_platform.blocks.processes import Processes, current_processes, together
from ubp_platform.blocks.registry import block_class
from ubp_platform.progress import logged
from ubp_platform.warehouse import Warehouse

CUTOFF = END.tz_localize("UTC").to_pydatetime()
SMALL = {"hidden": 8, "layers": 1, "last": 16, "batch_size": 16, "max_epochs": 3, "threads": 1}
GRU = ("gru_ae_day_event_type", {**SMALL, "dropout": 0.0})
# As many negatives as URLs: nothing is drawn.
URLS = ("next_url", {**SMALL, "heads": 2, "dropout": 0.0, "negatives": 5000})


@contextmanager
def interrupted(description: str, total: float | None, unit: str) -> Iterator:
    def advance(amount: float) -> None:
        if "epoch 3/" in description:
            raise KeyboardInterrupt

    yield advance


def fit_a_share(
    directory: Path, warehouse: Path, name: str, params: dict, rank: int, count: int, cut: bool
) -> None:
    """Be one of several processes, and write down what it ends with."""
    distributed.init_process_group(
        "gloo", init_method=f"file://{directory}/meeting", rank=rank, world_size=count
    )
    block = block_class(name)(**params)
    checkpoint = Checkpoint(directory.parent / "checkpoint.safetensors", writes=rank == 0)
    with Warehouse(warehouse) as opened, together():
        block.fit(opened.history(CUTOFF), interrupted if cut else logged, checkpoint)
    save_file(block.state(), directory / f"{rank}.safetensors")
    (directory / f"{rank}.json").write_text(json.dumps(block.report_.curves))
    distributed.destroy_process_group()


def fit_together(
    directory: Path, shop: Warehouse, name: str, params: dict, count: int = 2, cut: bool = False
) -> tuple[dict[str, np.ndarray], dict[str, list[float]]]:
    """Fit by several processes, which have to agree."""
    directory.mkdir(parents=True)
    others = [
        start(
            directory / f"{rank}.txt",
            fit_a_share,
            *(directory, shop.path, name, params, rank, count, cut),
        )
        for rank in range(count)
    ]
    for other in others:
        assert other.exit_code() == 0, other.heard.read_text()
    curves = [json.loads((directory / f"{rank}.json").read_text()) for rank in range(count)]
    states = [load_file(directory / f"{rank}.safetensors") for rank in range(count)]
    for rank in range(1, count):
        assert curves[rank] == curves[0]
        for key, array in states[0].items():
            np.testing.assert_array_equal(states[rank][key], array)
    return states[0], curves[0]


def fit_alone(shop: Warehouse, name: str, params: dict[str, Any]) -> Block:
    return block_class(name)(**params).fit(shop.history(CUTOFF))


@pytest.mark.parametrize(("name", "params"), [GRU, URLS])
def test_two_processes_fit_as_one_does(
    shop: Warehouse, tmp_path: Path, name: str, params: dict[str, Any]
) -> None:
    alone = fit_alone(shop, name, params)
    state, curves = fit_together(tmp_path / "two", shop, name, params)
    for kind, curve in alone.report_.curves.items():
        np.testing.assert_allclose(curves[kind], curve, rtol=1e-5)
    for key, array in alone.state().items():
        np.testing.assert_allclose(state[key], array, atol=1e-4)


def test_a_process_may_have_no_share_of_a_batch(shop: Warehouse, tmp_path: Path) -> None:
    name, params = GRU
    params = {**params, "batch_size": 2, "max_epochs": 1}
    alone = fit_alone(shop, name, params)
    _, curves = fit_together(tmp_path / "three", shop, name, params, count=3)
    np.testing.assert_allclose(curves["train"], alone.report_.curves["train"], rtol=1e-5)


def test_with_dropout_a_fit_is_nearly_as_good(shop: Warehouse, tmp_path: Path) -> None:
    name, params = "future_window", {"max_epochs": 3, "threads": 1}
    alone = fit_alone(shop, name, params)
    _, curves = fit_together(tmp_path / "two", shop, name, params)
    assert curves != alone.report_.curves
    for kind, curve in alone.report_.curves.items():
        np.testing.assert_allclose(curves[kind], curve, rtol=0.02)


def test_a_resumed_fit_ends_with_the_same_weights(shop: Warehouse, tmp_path: Path) -> None:
    name, params = "gru_ae_day_event_type", {**SMALL, "dropout": 0.3}
    whole, curves = fit_together(tmp_path / "whole" / "1", shop, name, params)
    _, until_then = fit_together(tmp_path / "cut" / "1", shop, name, params, cut=True)
    resumed, in_all = fit_together(tmp_path / "cut" / "2", shop, name, params)
    assert until_then == {kind: curve[:2] for kind, curve in curves.items()}
    assert in_all == curves
    for key, array in whole.items():
        np.testing.assert_array_equal(resumed[key], array)


def test_shares_are_disjoint_and_together_they_are_all() -> None:
    rows = np.arange(10)
    shares = [Processes(rank, 3).share(rows) for rank in range(3)]
    assert [len(share) for share in shares] == [4, 3, 3]
    np.testing.assert_array_equal(np.sort(np.concatenate(shares)), rows)


def test_by_default_a_process_is_alone() -> None:
    assert current_processes() == Processes(rank=0, count=1)
