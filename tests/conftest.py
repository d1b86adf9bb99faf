from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.shops import land, random_shop
from ubp_platform.warehouse import Warehouse


@pytest.fixture(scope="session")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Warehouse]:
    """A random shop of 60 clients with all five event types, read-only."""
    path: Path = tmp_path_factory.mktemp("shop") / "warehouse.duckdb"
    with land(path, random_shop()) as warehouse:
        yield warehouse
