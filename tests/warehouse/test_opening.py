"""A warehouse's file is opened by one writer or by many readers, also in the moment of closing."""

import threading
from pathlib import Path

import pytest

from ubp_platform.errors import DamagedFile, WarehouseBusy
from ubp_platform.warehouse import Warehouse, opening


@pytest.fixture
def path(tmp_path: Path) -> Path:
    with Warehouse(tmp_path / "warehouse.duckdb", write=True) as warehouse:
        return warehouse.path


def test_duckdb_sees_nothing_of_the_file_before_the_writer_has_closed_it(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[Path] = []
    of_duckdb = opening.open_database
    monkeypatch.setattr(
        opening, "open_database", lambda path, write: opened.append(path) or of_duckdb(path, write)
    )

    def second() -> None:
        with Warehouse(path, write=True, wait=True):
            pass

    thread = threading.Thread(target=second)
    with pytest.warns(UserWarning, match="waiting for `.*warehouse.duckdb is in use"):
        with Warehouse(path, write=True):
            thread.start()
            thread.join(timeout=0.3)
            assert len(opened) == 1
        thread.join()
    assert len(opened) == 2


def test_who_does_not_wait_learns_who_writes(path: Path) -> None:
    with (
        Warehouse(path, write=True),
        pytest.raises(
            WarehouseBusy, match=r"in use by `.*`, at work .*: wait until it has finished"
        ),
    ):
        Warehouse(path)
    with Warehouse(path), Warehouse(path):
        pass


def test_where_nothing_can_be_written_one_can_read(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def read_only(*arguments: object, **options: object) -> None:
        raise PermissionError

    monkeypatch.setattr(opening, "FileLock", read_only)
    with Warehouse(path) as warehouse:
        assert warehouse.span("product_buy").rows == 0
    with pytest.raises(PermissionError):
        Warehouse(path, write=True)


def test_a_block_of_zeros_is_damage(tmp_path: Path) -> None:
    """As a power loss may leave it where DuckDB had begun to overwrite one."""
    path = tmp_path / "warehouse.duckdb"
    Warehouse(path, write=True).__exit__(None, None, None)
    content = bytearray(path.read_bytes())
    content[12288 : 12288 + 4096] = bytes(4096)
    path.write_bytes(content)
    with pytest.raises(DamagedFile, match=r"warehouse.duckdb is damaged .*: restore it from a ba"):
        Warehouse(path)
