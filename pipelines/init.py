"""``ubp init``: look at unknown files, and write a layout to edit."""

import re
from collections.abc import Iterator
from pathlib import Path

from rich.console import Console
from rich.markup import escape

from pipelines.console.tables import plain_table
from ubp_platform.errors import UBPError
from ubp_platform.layouts.description import shipped
from ubp_platform.layouts.draft import draft
from ubp_platform.layouts.source import Source, recognise
from ubp_platform.layouts.survey import Family, survey


def init(path: Path, directory: Path) -> tuple[list[Family], list[Path], str]:
    """Draft a layout for files.

    Parameters
    ----------
    path : Path
        A file, a folder or a tree.
    directory : Path
        Gets the layout.

    Returns
    -------
    families : list of Family
    written : list of Path
    known : str
        The layout that ships and fits already; empty where there is none.

    Raises
    ------
    UBPError
        If no file has a time, or the directory is taken.
    """
    source = Source.at(path)
    families = survey(source)
    written = draft(families, directory)
    try:
        known = recognise(source, shipped()).layout.name
    except UBPError:
        known = ""
    return families, written, known


def show(console: Console, path: Path, found: tuple[list[Family], list[Path], str]) -> None:
    """Say what was seen, what was guessed, and what to do next."""
    families, written, known = found
    for family in families:
        files = f"{family.files[0]}" + f" and {len(family.files) - 1:,} more" * (
            len(family.files) > 1
        )
        table = plain_table(f"{family.name}: {files}", "column", "type", "example", "looks like")
        # A name that is cut cannot be written into a layout.
        table.columns[0].min_width = max(len(column.name) for column in family.columns)
        for column in family.columns:
            guess = column.role
            if first := re.search("'%([md])[^%]%[md]", column.reading):
                guess += ", the month first" if first[1] == "m" else ", the day first"
            if column.kinds:
                guess = f"kind of event: {', '.join(column.kinds[:5])}"
            table.add_row(*map(escape, (column.name, column.type, column.example[:40], guess)))
        console.print(table)
    directory = written[0].parent
    names = ", ".join(file.name for file in written)
    console.print(f"Wrote {directory}: {names}", highlight=False, markup=False, soft_wrap=True)
    if known:
        console.print(
            f"The layout {known!r}, which ships, fits these files, too: `ubp ingest {path}`",
            highlight=False,
            markup=False,
            soft_wrap=True,
        )
    for note in _to_do(families, directory):
        console.print(note, highlight=False, markup=False)
    console.print("[bold]Next[/bold]", end=" ")
    console.print(
        f"edit it, then ubp ingest {path} --layout {directory} --dry-run",
        highlight=False,
        markup=False,
        soft_wrap=True,
    )


def _to_do(families: list[Family], directory: Path) -> Iterator[str]:
    """Say what the draft could not know."""
    purchases = directory / "product_buy.sql"
    if purchases.exists() and "could not be guessed" in purchases.read_text("utf-8"):
        yield f"Not all was guessed: {purchases} says what is to be filled in"
    times = [time for family in families if (time := family.having("time"))]
    if any(time.type == "VARCHAR" and "from_" not in time.reading for time in times):
        yield (
            "Times that name no zone are taken for UTC: if they are local ones, write the zone "
            f"into {directory / 'layout.toml'}"
        )
