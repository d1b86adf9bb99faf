"""Deliveries and the warehouse, as tables for people."""

import re
import shlex
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from pipelines.console.output import say, say_next, show
from pipelines.console.tables import plain_table, when
from ubp_platform.layouts import RELEVANT_CLIENTS
from ubp_platform.layouts.roles import table_of

if TYPE_CHECKING:
    from pipelines.clients import RelevantClients
    from pipelines.dry_run import DryRun
    from pipelines.ingest import Ingested
    from pipelines.init import Initialised
    from pipelines.lake import Lake
    from pipelines.quarantine import Quarantine
    from ubp_platform.layouts.description import Layout
    from ubp_platform.simulation.simulator import SimulatedFile

# Longer texts are cut in a preview; ids (a UUID has 36 characters), times and numbers are not.
_LONGEST = 36
# Kinds of events that are shown with their tables.
_KINDS = 12


def show_ingested(result: "Ingested") -> None:
    """Show what happened to the rows of each table."""
    if result.skipped and result.batch is not None:
        for name, batch in dict.fromkeys(result.skipped):
            say(f"{name}: landed before, in batch {batch}; skipped")
    if result.batch is not None:
        numbers = ["rows", "landed", "landed before", "quarantined"]
        if any(file.repeated for file in result.files):
            numbers.append("repeated")
        table = plain_table(f"Batch {result.batch}", ["table", *numbers], numbers=numbers)
        for file in result.files:
            counts = (file.read, file.landed, file.known, file.quarantined, file.repeated)
            table.add_row(file.table, *(f"{count:,}" for count in counts[: len(numbers)]))
        show(table)
    for note in result.notes:
        say(note)
    if result.data_docs:
        say(f"Data Docs: {result.data_docs}", wrap=False)
    if result.batch is None:
        batches = sorted({batch for _, batch in result.skipped})
        which = f"batch{'es' * (len(batches) > 1)} {', '.join(map(str, batches))}"
        say(f"Nothing new: all of it landed before, in {which}")


def show_layouts(layouts: "Iterable[Layout]") -> None:
    """List layouts, and how many tables each provides."""
    table = plain_table("Layouts", ["layout", "note", "tables"])
    for layout in layouts:
        table.add_row(layout.name, escape(layout.description.about), f"{len(layout.tables)} of 6")
    show(table)
    say_next("ubp ingest SOURCE")


def show_simulated(directory: Path, files: "list[SimulatedFile]") -> None:
    """List the files that were written."""
    numbers = ("rows", "clients")
    table = plain_table("Simulated", ["file", *numbers], numbers=numbers)
    for file in files:
        clients = "" if file.clients is None else f"{file.clients:,}"
        table.add_row(file.path.name, f"{file.rows:,}", clients)
    show(table)
    command = f"ubp ingest {shlex.quote(str(directory))}"
    for listed in (file.path for file in files if file.path.name == RELEVANT_CLIENTS):
        command += f" && ubp clients {shlex.quote(str(listed))}"
    say_next(command)


#: The numbers of a batch's rows.
COUNTS = ("landed", "known", "quarantined")


def batches_table(batches: list[dict[str, Any]]) -> Table:
    """Render what :func:`pipelines.status.batches` found; columns that say nothing are left out."""
    times = {
        "delivered at": [when(one["delivered_at"]) for one in batches],
        "landed at": [when(one["landed_at"]) for one in batches],
        "complete until": [when(one["complete_until"]) for one in batches],
    }
    if times["delivered at"] == times["landed at"]:
        del times["delivered at"]
    counts = [
        (label, [f"{one[name]:,}" for one in batches])
        for label, name in zip(("landed", "landed before", "quarantined"), COUNTS, strict=True)
        if name == "landed" or any(one[name] for one in batches)
    ]
    numbers = ["batch", *(label for label, _ in counts)]
    table = plain_table("Batches", ["batch", *times, "source", *numbers[1:]], numbers=numbers)
    for column in table.columns[1 : len(times) + 1]:
        column.min_width = len("2022-11-24")
    for row, one in enumerate(batches):
        cells = (str(one["batch"]), *(column[row] for column in times.values()))
        table.add_row(*cells, escape(str(one["source"])), *(values[row] for _, values in counts))
    return table


def show_quarantine(found: "Quarantine") -> None:
    """List quarantined rows, newest batch first."""
    if not found.total:
        say("Nothing is in quarantine")
        return
    title = f"Quarantine, {len(found.rows):,} of {found.total:,} rows"
    table = plain_table(title, ["batch", "table", "file", "row", "rule"], numbers=["batch", "row"])
    for row in found.rows:
        where = (str(row["batch"]), str(row["table"]), escape(str(row["file"])), f"{row['row']:,}")
        table.add_row(*where, f"{escape(str(row['rule']))}\n[dim]{escape(str(row['original']))}")
    show(table)
    say_next("mend and ingest them, then ubp quarantine --clear")


def show_draft(path: Path, found: "Initialised") -> None:
    """Show what was seen in the files and what was guessed."""
    families, written, known = found.families, found.draft.files, found.known
    for family in families:
        more = len(family.files) - 1
        files = f"{family.files[0]}{f' and {more:,} more' if more else ''}"
        table = plain_table(f"{family.name}: {files}", ["column", "type", "example", "looks like"])
        # A name that is cut cannot be written into a layout.
        table.columns[0].min_width = max(len(column.name) for column in family.columns)
        for column in family.columns:
            guess = column.role
            if first := re.search("'%([md])[^%]%[md]", column.reading):
                guess += ", the month first" if first[1] == "m" else ", the day first"
            if column.kinds:
                guess = "kind of event: " + ", ".join(
                    f"{kind} → {table_of(kind) or 'not read'}" for kind in column.kinds[:_KINDS]
                )
                guess += ", …" * (len(column.kinds) > _KINDS)
            table.add_row(*map(escape, (column.name, column.type, column.example[:40], guess)))
        show(table)
    directory = written[0].parent
    names = ", ".join(file.name for file in written)
    say(f"Wrote {directory}: {names}", wrap=False)
    if known:
        say(f"The built-in layout {known!r} fits these files: `ubp ingest {path}`", wrap=False)
    for note in found.draft.notes:
        say(note)
    edited = f"edit it, then ubp ingest {path} --layout {directory} --dry-run"
    say_next(f"ubp ingest {path} --dry-run" if known else edited)


def show_dry_run(found: "DryRun") -> None:
    """Show what would land, with the first rows of each table, and what would not."""
    for note in found.notes:
        say(note)
    files = ", ".join(f"{name} ({count:,})" for name, count in found.relations.items())
    say(f"layout {found.layout}; files: {files}")
    for table in found.tables:
        rows = plain_table(f"{table.table}: {table.rows:,} rows staged", [*table.shown.columns])
        cells = [[_cell(value) for value in row] for row in table.shown.itertuples(index=False)]
        for place, column in enumerate(rows.columns):
            column.no_wrap = True
            longest = max(map(len, [str(column.header), *(row[place] for row in cells)]))
            # Of long texts the beginning is enough; ids, times and numbers are shown whole.
            column.min_width = longest if longest <= _LONGEST else None
        for row in cells:
            rows.add_row(*(Text(cell, overflow="ellipsis") for cell in row))
        show(rows)
        for rule, count in table.quarantined.items():
            say(f"quarantined: {count:,} against the rule '{rule}'")
        if table.first_bad:
            say(f"the first: {table.first_bad}")
    for reason, count in found.dropped.items():
        say(f"no event: {count:,} rows: {reason}")
    for name in found.left_out:
        say(f"{name}: no files")
    if found.complete_until:
        say(f"The log would be complete until {when(found.complete_until.isoformat())}")
    for table in found.tables:
        if table.rejection:
            show(f"[red]rejected:[/red] {escape(table.rejection)}")
    would = "; the batch would be rejected" if found.rejected else ""
    say(f"Nothing was landed{would}")


def _cell(value: object) -> str:
    if isinstance(value, np.ndarray):
        return "[" + " ".join(map(str, value)) + "]"
    return "" if value is None or value is pd.NaT or value != value else str(value)


def show_relevant(wanted: "RelevantClients") -> None:
    """Show which clients are profiled."""
    who = "all clients"
    if wanted.clients is not None:
        who = f"{len(wanted.clients):,} clients, {wanted.with_events:,} of whom have events"
    say(f"Profiles are made of {who}")


def show_lake(found: "Lake") -> None:
    """Print what a lake holds, and what was written."""
    written, manifest = found.written, found.written.manifest
    size = sum(file.bytes for file in manifest.files) / 1e6
    say(
        f"{found.place}: {manifest.events:,} events, buckets: {len(manifest.buckets):,}, "
        f"{size:,.1f} MB",
        wrap=False,
    )
    say(
        f"buckets written: {written.anew:,}, added to: {written.appended:,}, unchanged: "
        f"{written.untouched:,}"
    )
