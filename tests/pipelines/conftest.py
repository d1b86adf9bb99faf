import shutil
from pathlib import Path

import pandas as pd
import pytest

from pipelines.ingest import ingest
from tests.pipelines.deliveries import deliver
from tests.shops import random_shop
from ubp_platform.home import Home


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(home=tmp_path / "home")


@pytest.fixture(scope="session")
def tables() -> dict[str, pd.DataFrame]:
    """A shop with all event types; its frames must not be changed."""
    return random_shop(seed=5, clients=80, events=1500)


@pytest.fixture(scope="session")
def landed_shop(tables: dict[str, pd.DataFrame], tmp_path_factory: pytest.TempPathFactory) -> Home:
    """A home with that shop and nothing else; use `landed_home` to change it."""
    directory = tmp_path_factory.mktemp("landed")
    home = Home(home=directory / "home")
    ingest(home, str(deliver(directory / "delivery", **tables)))
    return home


@pytest.fixture
def landed_home(landed_shop: Home, tmp_path: Path) -> Home:
    """A copy for one test."""
    return Home(home=shutil.copytree(landed_shop.root, tmp_path / "home"))
