"""A home with a log, the home after an evaluation, and commands in copies of them."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from pipelines.evaluate import evaluate
from pipelines.ingest import ingest
from tests.evaluation.evaluated import BLOCKS, CLIENTS, Ubp, no_report, thin_networks
from tests.pipelines.commands import run_ubp
from tests.pipelines.deliveries import deliver
from tests.shops import END, START, random_shop
from ubp_platform.home import Home


@pytest.fixture(scope="module")
def thin() -> Iterator[None]:
    """Tiny networks and no report in all tests of a module."""
    with thin_networks(), no_report():
        yield


@pytest.fixture(scope="session")
def ingested(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """A home with a log in which about every third client buys in each window."""
    directory = tmp_path_factory.mktemp("shop")
    home = Home(home=directory / "home")
    shop = random_shop(seed=5, clients=CLIENTS, events=600)
    last = shop["product_buy"].head(1).assign(timestamp=END - pd.Timedelta("90min"))
    shop["product_buy"] = pd.concat([shop["product_buy"], last])
    everybody = pd.DataFrame({"client_id": np.arange(1, CLIENTS + 1), "timestamp": START, "url": 0})
    shop["page_visit"] = pd.concat([shop["page_visit"], everybody])
    ingest(home, str(deliver(directory / "delivery", **shop)))
    return home


@pytest.fixture(scope="session")
def evaluated(ingested: Home) -> Home:
    """The home after an evaluation with tiny networks."""
    home = Home(home=ingested.root.with_name("evaluated"))
    shutil.copytree(ingested.root, home.root)
    with thin_networks(), no_report():
        evaluate(home, BLOCKS)
    return home


@pytest.fixture
def run_in(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Callable[[Home], Ubp]:
    def copied(home: Home) -> Ubp:
        """Run commands in a copy of a home."""
        shutil.copytree(home.root, tmp_path / "home")
        monkeypatch.setenv("UBP_HOME", str(tmp_path / "home"))
        return lambda *arguments: run_ubp(capsys, *arguments)

    return copied


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """The home in which `ubp` and `fresh_ubp` run."""
    return Home(home=tmp_path / "home")


@pytest.fixture
def ubp(run_in: Callable[[Home], Ubp], evaluated: Home) -> Ubp:
    return run_in(evaluated)


@pytest.fixture
def fresh_ubp(run_in: Callable[[Home], Ubp], ingested: Home) -> Ubp:
    return run_in(ingested)
