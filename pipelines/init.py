"""``ubp init``: examine undescribed files, and draft a layout to edit."""

import re
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.markup import escape

from pipelines.console.tables import plain_table
from ubp_platform.errors import UBPError
from ubp_platform.layouts.description import shipped
from ubp_platform.layouts.draft import Draft, draft
from ubp_platform.layouts.source import Source, recognise
from ubp_platform.layouts.survey import Family, survey


@dataclass(frozen=True)
class Initialised:
    """What ``ubp init`` did.

    Parameters
    ----------
    families : list of Family
        The files, grouped by their columns.
    draft : Draft
        The layout that was written.
    known : str
        The shipped layout that fits the files; empty if none does.
    """

    families: list[Family]
    draft: Draft
    known: str


def init(path: Path, directory: Path) -> Initialised:
    """Draft a layout in a new directory for a file, a folder or a tree.

    Raises
    ------
    UBPError
        If no file has a time, or the directory is not empty.
    """
    source = Source.at(path)
    families = survey(source)
    written = draft(families, directory)
    try:
        known = recognise(source, shipped()).layout.name
    except UBPError:
        known = ""
    return Initialised(families, written, known)


def show(console: Console, path: Path, found: Initialised) -> None:
    """Say what was seen, what was guessed, and what to do next."""
    families, written, known = found.families, found.draft.files, found.known
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
    for note in found.draft.notes:
        console.print(note, highlight=False, markup=False)
    console.print("[bold]Next[/bold]", end=" ")
    console.print(
        f"edit it, then ubp ingest {path} --layout {directory} --dry-run",
        highlight=False,
        markup=False,
        soft_wrap=True,
    )
