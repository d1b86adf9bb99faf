import atexit
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import typeguard

from tests import developer
from tests.small_disk import SmallDisk, may_mount, small_disk

developer.forget()
# Feast's type checks take half of its import. Programs of their own test it with them.
typeguard.typechecked = lambda target: target
may_mount()

from tests.shops import land, random_shop
from ubp_platform.warehouse import Warehouse

# A process takes a module at a time: those that take longest begin, so that none is left alone.
_LONGEST = (
    "tests/test_benchmarks.py",
    "tests/evaluation/test_leaks.py",
    "tests/pipelines/test_end_to_end.py",
    "tests/evaluation/test_report.py",
    "tests/evaluation/test_evaluate.py",
    "tests/pipelines/test_ingest",
    "tests/evaluation/test_full_disk.py",
    "tests/evaluation/test_e",
    "tests/pipelines/test_twelve_blocks.py",
    "tests/blocks/test_gru_ae.py",
    "tests/blocks/test_future_window.py",
    "tests/store/",
    "tests/pipelines/",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    def place(item: pytest.Item) -> int:
        places = (n for n, name in enumerate(_LONGEST) if item.nodeid.startswith(name))
        return next(places, len(_LONGEST))

    items.sort(key=place)


@pytest.fixture(scope="session")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Warehouse]:
    """A random shop of 60 clients with all five event types, read-only."""
    path: Path = tmp_path_factory.mktemp("shop") / "warehouse.duckdb"
    with land(path, random_shop()) as warehouse:
        yield warehouse


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[SmallDisk]:
    """A disk of 48 MB."""
    with small_disk(tmp_path / "disk") as found:
        yield found


@atexit.register
def _without_leak_reports() -> None:
    """Close stderr: below DuckDB, nanobind takes types that outlive the interpreter for leaks.

    It does so whenever hypothesis was loaded; no connection is left open (that is looked after by
    `with` statements), and nothing else writes this late.
    """
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
