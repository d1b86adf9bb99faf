"""``ubp ingest --dry-run``: stage and check a delivery without a warehouse."""

import tempfile
from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import duckdb
import pandas as pd

from pipelines.ingest import (
    complete_by_layout,
    delivered_as,
    open_delivery,
    require_delivered_after,
)
from ubp_platform.layouts import MAX_QUARANTINE
from ubp_platform.layouts.staging import staging
from ubp_platform.progress import ProgressFactory, logged
from ubp_platform.quality.checks import Rejection, check, first_bad_row
from ubp_platform.warehouse import column_kinds
from ubp_platform.warehouse.clock_changes import clock_changes
from ubp_platform.warehouse.connection import INGEST_SHARE, configure
from ubp_platform.warehouse.scan import Scan
from ubp_platform.warehouse.staged import CSV_RULE, StagedTable

#: The number of staged rows shown per table.
SHOWN = 10


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
    complete_until : datetime, optional
        Up to when the log would be complete, where the user or the layout says so.
    """

    layout: str
    relations: dict[str, int]
    tables: list[Preview]
    left_out: list[str]
    dropped: dict[str, int]
    notes: list[str]
    complete_until: datetime | None = None

    @property
    def rejected(self) -> bool:
        """Whether the batch would be rejected."""
        return any(table.rejection for table in self.tables)


def dry_run(
    source: str,
    layout: str | None = None,
    max_quarantine: float = MAX_QUARANTINE,
    progress: ProgressFactory = logged,
    delivered_at: datetime | None = None,
    complete_until: datetime | None = None,
) -> DryRun:
    """Stage and check a delivery without landing it; parameters as in :func:`ingest`.

    Raises
    ------
    UBPError
        If there is nothing to ingest, no layout fits, a file cannot be read, or one of the times
        cannot be.
    """
    delivered = delivered_as(delivered_at, complete_until)
    delivery, notes = open_delivery(source, layout)
    with (
        # In the system's directory for them: a dry run writes nothing beside the delivery or home.
        tempfile.TemporaryDirectory(prefix="ubp-") as directory,
        staging(delivery, Path(directory)) as stage,
        duckdb.connect() as connection,
    ):
        configure(connection, INGEST_SHARE)
        if not complete_until:
            delivered = complete_by_layout(delivered, stage)
        staged = stage.stage_all(connection, stage.tables(), {})
        tables = [_preview(connection, one, max_quarantine, progress) for one in staged.values()]
        notes += [*stage.box.notes, *stage.unread({table.table: table.rows for table in tables})]
        for item in staged.values():
            scan = Scan(connection, item)
            notes += clock_changes(connection, scan)
            require_delivered_after(scan.last_event(), delivered)
        kinds = next(iter(staged.values())).kinds
        if decided := column_kinds.describe(kinds, {}, "if this is the first delivery,"):
            notes.append(decided)
        dropped = stage.dropped()
        delivery.require_unchanged()
        return DryRun(
            layout=delivery.layout.name,
            relations={name: len(files) for name, files in delivery.files.items()},
            tables=tables,
            left_out=[name for name in delivery.layout.tables if name not in staged],
            dropped=dropped,
            notes=notes,
            complete_until=delivered.complete_until,
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
