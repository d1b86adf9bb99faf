"""Fits of a network by workers of a Ray cluster."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from tests.shops import END, land, random_shop
from ubp_platform.blocks.catalog import Catalog
from ubp_platform.blocks.gru_ae_day_event_type import GRUAEDayEventType
from ubp_platform.blocks.registry import block_class
from ubp_platform.errors import BlockUnavailable, UBPError
from ubp_platform.home import Home
from ubp_platform.profile.fitting import fit_blocks
from ubp_platform.warehouse import Warehouse

ray = pytest.importorskip("ray")
fitting = pytest.importorskip("ubp_platform.engine.fitting")

CUTOFF = END.tz_localize("UTC").to_pydatetime()
RHYTHM = "gru_ae_day_event_type"
SMALL = {"hidden": 8, "layers": 1, "last": 16, "batch_size": 16, "max_epochs": 3, "threads": 1}


@pytest.fixture(scope="module")
def two_cpus() -> Iterator[None]:
    ray.init("local", num_cpus=2, include_dashboard=False, log_to_driver=False)
    yield
    ray.shutdown()


@pytest.fixture
def home(tmp_path: Path) -> Home:
    home = Home(home=tmp_path / "home")
    with land(home.warehouse, random_shop()):
        return home


@pytest.mark.heavy
@pytest.mark.usefixtures("two_cpus")
def test_two_workers_fit_as_one_process_does(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    params = {**SMALL, "dropout": 0.0}
    monkeypatch.setattr(GRUAEDayEventType, "presets", {"small": params, "paper": params})
    alone, block = GRUAEDayEventType(**params), GRUAEDayEventType(**params)
    checkpoint = home.root / "checkpoint.safetensors"
    with Warehouse(home.warehouse) as warehouse:
        alone.fit(warehouse.history(CUTOFF))
        fitting.fit_by_workers(block, home.warehouse, CUTOFF, workers=2, checkpoint=checkpoint)
        identity, keys = block.identity(warehouse.identity(CUTOFF)), warehouse.key_state
    assert block.report_.loss == pytest.approx(alone.report_.loss, rel=1e-4)
    for kind, curve in alone.report_.curves.items():
        np.testing.assert_allclose(block.report_.curves[kind], curve, rtol=1e-4)
    for key, array in alone.state().items():
        np.testing.assert_allclose(block.state()[key], array, atol=1e-4)
    assert checkpoint.exists()
    # What is put into the catalog is a fit like any other.
    Catalog(home).add(block, identity, keys)
    assert [fit.name for fit in fit_blocks(home, [RHYTHM], cutoff=CUTOFF).reused] == [RHYTHM]


@pytest.mark.heavy
@pytest.mark.usefixtures("two_cpus")
def test_what_a_worker_cannot_fit_is_the_callers_error(home: Home) -> None:
    strangers = np.array([998, 999])
    with pytest.raises(BlockUnavailable, match="no relevant client has a"):
        fitting.fit_by_workers(
            GRUAEDayEventType(**SMALL), home.warehouse, CUTOFF, workers=2, clients=strangers
        )


def test_only_networks_are_fitted_by_several(home: Home) -> None:
    block = block_class("ials_categories")()
    with pytest.raises(UBPError, match="ials_categories is fitted by one process"):
        fitting.fit_by_workers(block, home.warehouse, CUTOFF, workers=2)
