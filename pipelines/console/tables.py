"""How tables for people look, and the values in them."""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any

from rich import box
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text


class PlainTable(Table):
    """A table whose numbers are never cut."""

    def add_row(self, *cells: RenderableType | None, **options: Any) -> None:
        """Add a row; columns of numbers become as wide as it takes."""
        super().add_row(*cells, **options)
        for column, cell in zip(self.columns, cells, strict=False):
            if column.justify == "right" and isinstance(cell, str):
                width = Text.from_markup(cell).cell_len
                column.min_width = max(column.min_width or 0, width)


def plain_table(title: str, columns: Sequence[str], numbers: Collection[str] = ()) -> PlainTable:
    """Make a table without vertical lines, for 80 columns.

    Parameters
    ----------
    title : str
    columns : sequence of str
    numbers : collection of str
        The columns to align at the right.
    """
    table = PlainTable(
        title=title,
        title_justify="left",
        title_style="bold",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
        collapse_padding=True,
        # A title is not broken over lines.
        min_width=min(len(title) + 1, 79),
    )
    for column in columns:
        if column in numbers:
            table.add_column(column, justify="right", no_wrap=True)
        else:
            table.add_column(column, overflow="fold")
    return table


def client_count(count: int) -> str:
    """Format a number of clients."""
    return f"{count:,} client{'s' * (count != 1)}"


def in_store(online_store: str) -> str:
    """Format the online store unless it is SQLite."""
    return "" if online_store == "sqlite" else f", in {online_store}"


def cutoffs(times: list[str]) -> str:
    """Format the only cutoff, or how many there are and the last one."""
    return f"{len(times)}, last {when(times[-1])}" if len(times) > 1 else "".join(map(when, times))


def day(time: str | None) -> str:
    """Format the day of a point in time."""
    return time[:10] if time else ""


def when(time: datetime | str | None) -> str:
    """Format a point in time; a midnight is a day."""
    if time is None:
        return ""
    moment = datetime.fromisoformat(time) if isinstance(time, str) else time
    return f"{moment:%Y-%m-%d}" if moment.time() == datetime.min.time() else f"{moment:%F %H:%M}"
