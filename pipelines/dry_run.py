"""``ubp ingest --dry-run``: stage and check a delivery without a warehouse."""

import tempfile
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd
from rich.console import Console
from rich.text import Text

from pipelines.console.tables import plain_table
from pipelines.ingest import MEMORY, open_delivery
from ubp_platform.layouts import MAX_QUARANTINE
from ubp_platform.layouts.staging import staging
from ubp_platform.progress import ProgressFactory, silent
from ubp_platform.quality.checks import Rejection, check, first_bad_row
from ubp_platform.warehouse import column_kinds
from ubp_platform.warehouse.clock_changes import clock_changes
from ubp_platform.warehouse.scan import Scan
from ubp_platform.warehouse.staged import CSV_RULE, StagedTable

#: The number of staged rows shown per table.
SHOWN = 10
# The largest number of characters of values that are never truncated: the length of a UUID.
_WHOLE = 36


@dataclass
class Preview:
    """What would happen to one table.

    Parameters
    ----------
    table : str
    rows : int
        The number of staged rows and rejected lines.
    quarantined : mapping of str to int
        The number of rows by the rules that they break.
    first_bad : str
        The first of them as staged, as JSON.
    rejection : str
        Why the batch would be rejected; empty if it would not.
    shown : DataFrame
        The first staged rows.
    """

    table: str
    rows: int
    shown: pd.DataFrame
    quarantined: dict[str, int] = field(default_factory=dict)
    first_bad: str = ""
    rejection: str = ""


@dataclass
class DryRun:
    """What ``ubp ingest --dry-run`` found.

    Parameters
    ----------
    layout : str
    relations : mapping of str to int
        The number of files of each relation.
    tables : list of Preview
    left_out : list of str
        Tables of the layout without files.
    dropped : mapping of str to int
        The number of delivered rows that the layout drops, by reason.
    notes : list of str
    """

    layout: str
    relations: dict[str, int]
    tables: list[Preview]
    left_out: list[str]
    dropped: dict[str, int]
    notes: list[str]

    @property
    def rejected(self) -> bool:
        """Whether the batch would be rejected."""
        return any(table.rejection for table in self.tables)


def dry_run(
    source: str,
    layout: str | None = None,
    max_quarantine: float = MAX_QUARANTINE,
    progress: ProgressFactory = silent,
) -> DryRun:
    """Stage and check a delivery without landing it; parameters as in :func:`ingest`.

    Raises
    ------
    UBPError
        If there is nothing to ingest, no layout fits, or a file cannot be read.
    """
    delivery, notes = open_delivery(source, layout)
    with (
        tempfile.TemporaryDirectory(prefix="ubp-") as directory,
        staging(delivery, Path(directory), MEMORY) as stage,
        duckdb.connect() as connection,
    ):
        connection.execute("SET TimeZone = 'UTC'")
        connection.execute(f"SET memory_limit = '{MEMORY}'")
        staged = stage.stage_all(connection, stage.tables(), {})
        tables = [_preview(connection, one, max_quarantine, progress) for one in staged.values()]
        notes += [*stage.box.notes, *stage.unread({table.table: table.rows for table in tables})]
        for item in staged.values():
            notes += clock_changes(connection, Scan(connection, item))
        kinds = next(iter(staged.values())).kinds
        if decided := column_kinds.describe(kinds, {}, "if this is the first delivery,"):
            notes.append(decided)
        return DryRun(
            layout=delivery.layout.name,
            relations={name: len(files) for name, files in delivery.files.items()},
            tables=tables,
            left_out=[name for name in delivery.layout.tables if name not in staged],
            dropped=stage.dropped(),
            notes=notes,
        )


def _preview(
    connection: duckdb.DuckDBPyConnection,
    staged: StagedTable,
    max_quarantine: float,
    progress: ProgressFactory,
) -> Preview:
    rows = connection.read_parquet(str(staged.path))
    shown = rows.limit(SHOWN).to_df().drop(columns=["_file", "_row"], errors="ignore")
    count = int(rows.count("*").fetchall()[0][0])
    lines = staged.lines
    preview = Preview(staged.table.name, count + len(lines), shown)
    try:
        bad = check(connection, staged, max_quarantine, progress).bad
    except Rejection as rejection:
        preview.rejection = str(rejection)
        return preview
    preview.quarantined = dict(Counter(bad.rules.tolist()).most_common())
    if lines:
        preview.quarantined[CSV_RULE] = len(lines)
        preview.first_bad = f"line {lines[0].line}: {lines[0].text}"
    if len(bad.row_numbers):
        preview.first_bad = first_bad_row(Scan(connection, staged), bad)
    return preview


def show(console: Console, found: DryRun) -> None:
    """Say what would land, with the first rows of each table, and what would not."""
    for note in found.notes:
        console.print(note, highlight=False, markup=False)
    files = ", ".join(f"{name} ({count:,})" for name, count in found.relations.items())
    console.print(f"layout {found.layout}; files: {files}", highlight=False, markup=False)
    for table in found.tables:
        rows = plain_table(f"{table.table}: {table.rows:,} rows staged", *table.shown.columns)
        cells = [[_cell(value) for value in row] for row in table.shown.itertuples(index=False)]
        for place, column in enumerate(rows.columns):
            column.no_wrap = True
            longest = max(map(len, [str(column.header), *(row[place] for row in cells)]))
            # Of long texts the beginning is enough; ids, times and numbers are shown whole.
            column.min_width = longest if longest <= _WHOLE else None
        for row in cells:
            rows.add_row(*(Text(cell, overflow="ellipsis") for cell in row))
        console.print(rows)
        for rule, count in table.quarantined.items():
            text = f"quarantined: {count:,} against the rule '{rule}'"
            console.print(text, highlight=False, markup=False)
        if table.first_bad:
            console.print(f"the first: {table.first_bad}", highlight=False, markup=False)
    for reason, count in found.dropped.items():
        console.print(f"no event: {count:,} rows: {reason}", highlight=False, markup=False)
    for name in found.left_out:
        console.print(f"{name}: no files", highlight=False, markup=False)
    for table in found.tables:
        if table.rejection:
            console.print("[red]rejected:[/red]", end=" ")
            console.print(table.rejection, highlight=False, markup=False)
    would = "; the batch would be rejected" if found.rejected else ""
    console.print(f"Nothing was landed{would}")


def _cell(value: object) -> str:
    if isinstance(value, np.ndarray):
        return "[" + " ".join(map(str, value)) + "]"
    return "" if value is None or value is pd.NaT or value != value else str(value)
