"""``ubp ingest``: check a delivery, quarantine what fails, land the rest as one batch."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import duckdb

from ubp_platform.quality.checks import Checked, Rejection, check
from ubp_platform.blocks.catalog import version_directories
from ubp_platform.errors import BatchRejected, UBPError
from ubp_platform.events import completejourney
from ubp_platform.home import Home
from ubp_platform.layouts import MAX_QUARANTINE, RELEVANT_CLIENTS
from ubp_platform.layouts.description import find, shipped
from ubp_platform.layouts.source import Delivery, Source, recognise
from ubp_platform.layouts.staging import DeliveredTable, Stage, staging
from ubp_platform.progress import ProgressFactory, silent
from ubp_platform.quality import DataDocs
from ubp_platform.warehouse import Warehouse, ledger, column_kinds, identifiers, landing
from ubp_platform.warehouse.scan import Scan

#: What DuckDB may take; what does not fit is sorted on disk.
MEMORY = "1500MB"
_STAGING = ".staging-"


@dataclass
class Ingested:
    """What ``ubp ingest`` did.

    Parameters
    ----------
    batch : int, optional
        The batch's number; None when every file was known already.
    files : list of Landed
    skipped : list of (str, int)
        Files known by content, with the batch that brought them.
    data_docs : Path, optional
    notes : list of str
        What a user should know.
    next : str
        The command that is next.
    """

    batch: int | None = None
    files: list[landing.Landed] = field(default_factory=list)
    skipped: list[tuple[str, int]] = field(default_factory=list)
    data_docs: Path | None = None
    notes: list[str] = field(default_factory=list)
    next: str = "ubp train"


def ingest(
    home: Home,
    source: str,
    layout: str | None = None,
    max_quarantine: float = MAX_QUARANTINE,
    progress: ProgressFactory = silent,
    replace: int | None = None,
) -> Ingested:
    """Land a delivery as one batch.

    Parameters
    ----------
    home : Home
    source : str
        A file, a folder or a tree; ``completejourney`` is the installed package of that name.
    layout : str, optional
        The name or the directory of a layout; recognised from the files by default.
    max_quarantine : float
        The share of bad rows of a table above which the whole batch is rejected.
    progress : ProgressFactory
    replace : int, optional
        A batch that is taken back in the same transaction.

    Returns
    -------
    Ingested

    Raises
    ------
    BatchRejected
        If a file breaks a table rule or has too many bad rows; the warehouse is as before.
    WarehouseBusy
        If another process is writing.
    UBPError
        If there is nothing to ingest, or no layout that fits.
    """
    if not 0 <= max_quarantine <= 1:
        raise UBPError(f"--max-quarantine is a share between 0 and 1, not {max_quarantine}")
    delivery, notes = delivered(source, layout)
    try:
        result = _land(home, source, delivery, max_quarantine, progress, replace)
    except BatchRejected as reason:
        raise BatchRejected(f"nothing was ingested: {reason}") from None
    result.notes[:0] = notes
    if version_directories(home.profiles):
        result.next = "ubp encode && ubp publish"
    return result


def delivered(source: str, layout: str | None) -> tuple[Delivery, list[str]]:
    """Look at a source.

    Parameters
    ----------
    source : str
        A path, or the name of a package's data.
    layout : str, optional

    Returns
    -------
    delivery : Delivery
    notes : list of str
        Which layout was taken and why; what is not read.
    """
    path = completejourney.package_data() if source == completejourney.NAME else Path(source)
    delivery = _look(path, layout)
    notes = []
    if layout is None:
        notes.append(f"taken for the layout {delivery.layout.name!r}, by its files and columns")
    if unread := [name for name in delivery.unread if name != RELEVANT_CLIENTS]:
        notes.append(f"files that the layout does not read: {', '.join(unread)}")
    return delivery, notes


def _look(path: Path, layout: str | None) -> Delivery:
    found = Source.at(path)
    if layout is None:
        return recognise(found, shipped())
    delivery = found.of(find(layout))
    if missing := delivery.missing or ([] if delivery.files else [*delivery.layout.relations]):
        patterns = delivery.layout.relations[missing[0]].files
        raise UBPError(
            f"no known file in {path}: the layout {delivery.layout.name} wants {missing[0]} as "
            f"{' or '.join(patterns[:2])}"
        )
    return delivery


def _land(
    home: Home,
    source: str,
    delivery: Delivery,
    max_quarantine: float,
    progress: ProgressFactory,
    replace: int | None,
) -> Ingested:
    result = Ingested()
    with (
        Warehouse(home.warehouse, write=True, memory_limit=MEMORY) as warehouse,
        _staging_directory(home) as directory,
        staging(delivery, Path(directory), MEMORY) as stage,
    ):
        connection = warehouse.connection
        new, result.skipped = _new_parts(connection, stage, replace)
        if not new:
            return result
        batch, docs = ledger.next_batch(connection), DataDocs(home.data_docs)
        known_kinds = identifiers.kinds(connection)
        if ledger.numbers(connection) == [replace]:
            known_kinds = {}  # the only batch goes, and with it what it decided
        staged, lines = stage.all_rows(connection, new, known_kinds)
        checked: list[Checked] = []
        try:
            for part in new:
                rows, broken = staged[part.table], lines[part.table]
                checked.append(check(connection, part, rows, broken, max_quarantine, progress))
        except Rejection as rejection:
            runs = {item.part.name: item.run for item in checked}
            runs[rejection.name] = rejection.run
            page = docs.write(f"rejected-{datetime.now(UTC):%Y%m%dT%H%M%SZ}", runs)
            raise BatchRejected(f"{rejection}; see {page}") from None
        # Before the commit: a batch in the books has its pages.
        page = docs.write(f"batch-{batch}", {item.part.name: item.run for item in checked})
        with warehouse.transaction():
            if replace is not None:
                ledger.retract(connection, replace)
                result.notes.append(f"in the place of batch {replace}, which was taken back")
            identifiers.remember(connection, checked[0].staged.kinds)
            for item in checked:
                _land_table(connection, item, batch, result, progress)
            ledger.record_batch(connection, batch, source, page)
        result.batch, result.data_docs = batch, page
        if decided := column_kinds.said(checked[0].staged.kinds, known_kinds):
            result.notes.append(decided)
        result.notes += [*stage.box.notes, *_notes(connection, result, stage)]
    return result


def _new_parts(
    connection: duckdb.DuckDBPyConnection, stage: Stage, replace: int | None
) -> tuple[list[DeliveredTable], list[tuple[str, int]]]:
    """Give the tables that have not landed, and those that have, by name, with their batch."""
    if replace is not None:
        ledger.require(connection, replace)
    known = ledger.known_files(connection)
    known = {file: batch for file, batch in known.items() if batch != replace}
    parts = stage.parts()
    new = [part for part in parts if (part.table, part.sha256) not in known]
    if not new and replace is not None:
        raise UBPError(f"nothing new to put in the place of batch {replace}, which stays")
    return new, [(part.name, known[part.table, part.sha256]) for part in parts if part not in new]


def _land_table(
    connection: duckdb.DuckDBPyConnection,
    item: Checked,
    batch: int,
    result: Ingested,
    progress: ProgressFactory,
) -> None:
    scan = Scan(connection, item.staged)
    with progress(f"land {item.part.table}", item.rows, "rows") as advance:
        file = landing.land_file(connection, scan, item.part.sha256, item.rows, item.bad, batch)
        advance(item.rows)
    result.files.append(file)
    result.notes += scan.clock_changes()
    result.notes += landing.doubts(connection, file, batch)


def _notes(connection: duckdb.DuckDBPyConnection, result: Ingested, stage: Stage) -> Iterator[str]:
    for file in result.files:
        for rule, count in ledger.broken_rules(connection, result.batch, file.table).items():
            said = f"quarantined, {file.table}: {count:,} against the rule '{rule}'"
            yield f"{said}; `ubp quarantine` shows them"
    if repeated := [file.table for file in result.files if file.repeated]:
        yield (
            f"repeated: rows of {', '.join(repeated)} that agree with another in all columns; they "
            "landed as events of their own"
        )
    if not result.skipped:
        yield from stage.unread({file.table: file.read for file in result.files})
    if dropped := stage.dropped():
        reasons = "; ".join(f"{count:,}: {reason}" for reason, count in dropped.items())
        yield f"rows that become no event, {reasons}"
    if unknown := landing.unknown_skus(connection):
        yield (
            f"{unknown:,} events are of skus without product properties; they are kept, their "
            "category and price are missing"
        )


def retract(home: Home, batch: int) -> tuple[dict[str, int], list[str]]:
    """Take a batch back; see :func:`ledger.retract`.

    Parameters
    ----------
    home : Home
    batch : int

    Returns
    -------
    lost : dict of str to int
        How many rows each table lost.
    again : list of str
        Files that should be delivered again, since this batch had what they brought, too.
    """
    with Warehouse(home.warehouse):  # says that there is none, and makes none
        pass
    with (
        Warehouse(home.warehouse, write=True, memory_limit=MEMORY) as warehouse,
        warehouse.transaction(),
    ):
        lost = ledger.retract(warehouse.connection, batch)
        return lost, ledger.to_deliver_again(warehouse.connection)


@contextmanager
def _staging_directory(home: Home) -> Iterator[str]:
    """Make room for staged rows; only who writes the warehouse may call it."""
    for left in home.root.glob(f"{_STAGING}*"):  # by an ingest that was killed
        shutil.rmtree(left, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix=_STAGING, dir=home.root) as directory:
        yield directory
