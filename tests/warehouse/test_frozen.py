"""A frozen copy has all that was committed, locks nobody out, and is removed."""

from pathlib import Path

import duckdb
import pytest

from tests.processes import die, exit_code
from tests.shops import land, random_shop
from ubp_platform import files
from ubp_platform.errors import WarehouseMissing
from ubp_platform.home import Home
from ubp_platform.warehouse import Warehouse
from ubp_platform.warehouse.frozen import frozen


@pytest.fixture
def home(tmp_path: Path) -> Home:
    home = Home(home=tmp_path / "home")
    home.root.mkdir()
    with land(home.warehouse, random_shop(clients=5, events=20)):
        return home


def count(home: Home) -> int:
    with Warehouse(home.warehouse) as warehouse:
        return warehouse.span("page_visit").rows


def write(home: Home, then: object = None) -> None:
    with Warehouse(home.warehouse, write=True) as warehouse:
        warehouse.connection.execute("INSERT INTO page_visit FROM page_visit LIMIT 1")
        if then:
            die()


def open_as_others_do(path: Path) -> None:
    """Open the file in a program that knows DuckDB's lock alone."""
    duckdb.connect(path).close()


def freeze_and_die(home: Home) -> None:
    with frozen(home):
        die()


def test_the_copy_stays_as_it_was_and_is_removed(home: Home) -> None:
    before = count(home)
    with frozen(home) as copy, frozen(copy) as again:
        assert exit_code(write, home) == 0
        assert (count(copy), count(home)) == (before, before + 1)
        assert again is copy
    assert not list(home.scratch.iterdir())


def test_what_a_killed_writer_had_committed_is_in_the_copy(home: Home) -> None:
    before = count(home)
    assert exit_code(write, home, die) < 0
    assert home.warehouse.with_name("warehouse.duckdb.wal").exists()
    with frozen(home) as copy:
        assert count(copy) == before + 1


def test_what_this_process_reads_stays_locked_against_all_writers(home: Home) -> None:
    with Warehouse(home.warehouse):
        with frozen(home):
            pass
        assert exit_code(open_as_others_do, home.warehouse) == 1
    assert exit_code(open_as_others_do, home.warehouse) == 0


def test_the_copy_of_a_killed_process_is_removed_by_the_next(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert exit_code(freeze_and_die, home) < 0
    assert len(list(home.scratch.iterdir())) == 1
    monkeypatch.setattr(files, "_SECONDS_TO_LOCK", 0)
    with frozen(home) as copy, frozen(home):
        assert len(list(home.scratch.iterdir())) == 2
        assert count(copy)
    assert not list(home.scratch.iterdir())


def test_without_a_warehouse_nothing_is_created(tmp_path: Path) -> None:
    with pytest.raises(WarehouseMissing), frozen(Home(home=tmp_path / "none")):
        pass
    assert not list(tmp_path.iterdir())
