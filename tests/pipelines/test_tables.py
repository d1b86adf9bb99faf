"""Tables on the terminal."""

import importlib

import pytest
from rich.console import Console

from pipelines.console import output
from pipelines.console.tables import plain_table


def test_numbers_are_never_cut() -> None:
    table = plain_table("Title", ["what", "rows", "when"], numbers=["rows"])
    table.add_row(
        "a long name, of which there is more than there is room for on a line",
        "[bold]1,234,567,890",
        "2026-01-01",
    )
    console = Console(width=60)
    with console.capture() as shown:
        console.print(table)
    assert "1,234,567,890" in shown.get()
    assert "on a line" not in shown.get()


def test_a_narrow_terminal_gets_complete_tables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    narrow = importlib.reload(output)
    try:
        assert (narrow.errors.width, narrow.console.width) == (40, 80)
    finally:
        monkeypatch.undo()
        importlib.reload(output)
