"""``ubp ingest``: check a delivery, quarantine what fails, land the rest as one batch."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

import duckdb
import numpy as np

from pipelines.freshness import gaps_in
from pipelines.next_step import next_after_delivery
from ubp_platform.errors import BatchRejected, UBPError
from ubp_platform.events import completejourney
from ubp_platform.events.schema import PRODUCTS
from ubp_platform.files import discard, temporary_directory
from ubp_platform.forgotten import Forgotten
from ubp_platform.home import Home
from ubp_platform.layouts import MAX_QUARANTINE, RELEVANT_CLIENTS
from ubp_platform.layouts.description import COMPLETE_UNTIL, layout_named, shipped
from ubp_platform.layouts.source import Delivery, Source, recognise
from ubp_platform.layouts.staging import DeliveredTable, StagingArea, staging
from ubp_platform.progress import ProgressFactory, logged
from ubp_platform.quality import DataDocs
from ubp_platform.quality.checks import CheckedTable, Rejection, check
from ubp_platform.warehouse import (
    Warehouse,
    column_kinds,
    delivery_times,
    identifiers,
    landing,
    ledger,
    refusing,
)
from ubp_platform.warehouse.clock_changes import clock_changes
from ubp_platform.warehouse.connection import INGEST_SHARE
from ubp_platform.warehouse.scan import Scan
from ubp_platform.warehouse.staged import StagedTable


@dataclass
class Ingested:
    """What ``ubp ingest`` did.

    Parameters
    ----------
    batch : int, optional
        The batch's number; None if every file had landed before.
    files : list of Landed
    skipped : list of (str, int)
        Files with known contents, and the batch in which they landed.
    data_docs : Path, optional
    notes : list of str
        Messages for the user.
    next : str
        The command to run next.
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
    progress: ProgressFactory = logged,
    replace: int | None = None,
    delivered_at: datetime | None = None,
    complete_until: datetime | None = None,
) -> Ingested:
    """Land a delivery as one batch; wait for other processes that use the warehouse.

    Parameters
    ----------
    home : Home
    source : str
        A file, a folder or a tree; ``completejourney`` is the installed package of that name.
    layout : str, optional
        The name or the directory of a layout; recognised by the files by default.
    max_quarantine : float
        The share of bad rows of a table above which the whole batch is rejected.
    progress : ProgressFactory
    replace : int, optional
        A batch to take out in the same transaction.
    delivered_at : datetime, optional
        When the delivery became known, where it is loaded later; now by default.
    complete_until : datetime, optional
        Up to when the log is complete with it; by default what the layout says, else the last
        midnight that is certain, see :func:`~ubp_platform.warehouse.delivery_times.complete`.

    Raises
    ------
    BatchRejected
        If a table breaks a rule or has too many bad rows; the warehouse is unchanged.
    UBPError
        If there is nothing to ingest, no layout fits, or one of the times cannot be.
    """
    delivered = delivered_as(delivered_at, complete_until)
    if not 0 <= max_quarantine <= 1:
        raise UBPError(f"--max-quarantine is a share between 0 and 1, not {max_quarantine}")
    delivery, notes = open_delivery(source, layout)
    try:
        result = _land(home, source, delivery, delivered, max_quarantine, progress, replace)
    except BatchRejected as reason:
        raise BatchRejected(f"nothing was ingested: {reason}") from None
    if (delivered_at or complete_until) and result.batch is None:
        batches = sorted({batch for _, batch in result.skipped})
        raise UBPError(
            f"all of it landed before, in batch {', '.join(map(str, batches))}, so its times stay: "
            f"`ubp ingest {source} --replace {batches[-1]}` with the same options lands it again"
        )
    result.notes[:0] = notes
    result.next = next_after_delivery(home)
    return result


def delivered_as(at: datetime | None, complete_until: datetime | None) -> ledger.Delivered:
    """Return the times of a delivery that lands now; UBPError if they cannot be."""
    now = datetime.now(UTC)
    if at and at > now:
        raise UBPError(f"--delivered-at {at:%Y-%m-%d %H:%M} is in the future")
    return _complete(ledger.Delivered(now, at or now), complete_until, "--complete-until")


def _complete(delivered: ledger.Delivered, until: datetime | None, named: str) -> ledger.Delivered:
    """Set up to when the log is complete, if that is known."""
    if until and until > delivered.at:
        raise UBPError(
            f"{named} {until:%Y-%m-%d %H:%M} is after the delivery: what happens later cannot be "
            "in it"
        )
    return ledger.Delivered(delivered.landed_at, delivered.at, until)


def complete_by_layout(delivered: ledger.Delivered, stage: StagingArea) -> ledger.Delivered:
    """Set up to when the log is complete, if the layout says so; UBPError if that cannot be."""
    return _complete(delivered, stage.complete_until(), f"{COMPLETE_UNTIL}.sql:")


def open_delivery(source: str, layout: str | None) -> tuple[Delivery, list[str]]:
    """Return a source in its layout, by default the one recognised, and messages for the user."""
    path = completejourney.package_data() if source == completejourney.NAME else Path(source)
    delivery = _delivery(path, layout)
    notes = []
    if layout is None:
        notes.append(f"recognised the layout {delivery.layout.name!r} by files and columns")
    if unread := [name for name in delivery.unread if name != RELEVANT_CLIENTS]:
        notes.append(f"files that the layout does not read: {', '.join(unread)}")
    return delivery, notes


def _delivery(path: Path, layout: str | None) -> Delivery:
    found = Source.at(path)
    if layout is None:
        return recognise(found, shipped())
    delivery = found.of(layout_named(layout))
    if missing := delivery.missing or ([] if delivery.files else [*delivery.layout.relations]):
        patterns = delivery.layout.relations[missing[0]].files
        raise UBPError(
            f"no known file in {path}: the layout {delivery.layout.name} needs {missing[0]} as "
            f"{' or '.join(patterns[:2])}"
        )
    return delivery


def _land(
    home: Home,
    source: str,
    delivery: Delivery,
    delivered: ledger.Delivered,
    max_quarantine: float,
    progress: ProgressFactory,
    replace: int | None,
) -> Ingested:
    result = Ingested()
    home.prepare()
    if not home.warehouse.exists() and any(home.blocks.glob("*/*")):
        result.notes.append(
            f"{home.warehouse} was missing, and this delivery begins a new one: restore it from a "
            "backup, or deliver everything again in the same order"
        )
    with (
        Warehouse(home.warehouse, write=True, memory_share=INGEST_SHARE, wait=True) as warehouse,
        temporary_directory(home.root) as directory,
        staging(delivery, directory) as stage,
    ):
        connection = warehouse.connection
        delivered, listed = delivered.landing_now(), warehouse.relevant is not None
        new, result.skipped = _new_tables(connection, stage, replace)
        if not new:
            return result
        if not delivered.complete_until:
            delivered = complete_by_layout(delivered, stage)
        batch, docs = ledger.next_batch(connection), DataDocs(home.data_docs)
        known_kinds = identifiers.kinds(connection)
        if ledger.numbers(connection) == [replace]:
            known_kinds = {}  # they are deleted with the only batch
        if ledger.numbers(connection) in ([], [replace]):
            discard_caches(home)
        staged = stage.stage_all(connection, new, known_kinds)
        forgotten = Forgotten.read(home)
        staged, refused = _without_forgotten(connection, staged, forgotten)
        checked = _check_all(stage, connection, staged.values(), docs, max_quarantine, progress)
        if forgotten.refused:
            checked = [_without_named(connection, one, forgotten) for one in checked]
        result.batch = batch
        with warehouse.transaction():
            if replace is not None:
                ledger.revert(connection, replace)
                result.notes.append(f"batch {replace} was reverted, and this one replaces it")
                if listed and not ledger.numbers(connection):
                    result.notes.append(
                        "the list of relevant clients went with the only batch: `ubp clients FILE`"
                    )
            identifiers.remember(connection, checked[0].staged.kinds)
            for table, item in zip(new, checked, strict=True):
                _land_table(connection, table, item, batch, delivered.at, result, progress)
            if decided := column_kinds.describe(checked[0].staged.kinds, known_kinds):
                result.notes.append(decided)
            result.notes += refused
            result.notes += stage.box.notes
            result.notes += _notes(connection, result, stage, delivered, bool(refused))
            if replace is not None and (again := ledger.to_deliver_again(connection)):
                result.notes.append(
                    "ingest these files again, rows that they share with the replaced batch are "
                    f"gone: {', '.join(again)}"
                )
            require_delivered_after(delivery_times.last_event(connection, batch), delivered)
            # From here on, the files are not read again.
            delivery.require_unchanged()
            # Before the commit, so that every batch in the ledger has its pages.
            runs = {item.staged.name: item.run for item in checked}
            result.data_docs = docs.write(f"batch-{batch}", runs)
            ledger.record_batch(connection, batch, source, result.data_docs, delivered)
        result.notes += gaps_in(warehouse)
    return result


def _without_forgotten(
    connection: duckdb.DuckDBPyConnection, staged: Mapping[str, StagedTable], forgotten: Forgotten
) -> tuple[dict[str, StagedTable], list[str]]:
    """Leave out the rows of forgotten clients; return the tables, and a message for the user."""
    left = refusing.refuse(connection, staged, forgotten)
    rows = sum(len(one.refused) for name, one in left.items() if name != PRODUCTS.name)
    lines = sum(len(staged[name].lines) - len(one.lines) for name, one in left.items())
    if not rows + lines:
        return left, []
    return left, [
        f"rows of forgotten clients were refused: {rows + lines:,}; `ubp forget --allow-return "
        "CLIENT_ID` takes a client's later deliveries in"
    ]


def _without_named(
    connection: duckdb.DuckDBPyConnection, checked: CheckedTable, forgotten: Forgotten
) -> CheckedTable:
    """Leave out bad rows that name a forgotten client in any column: they are not kept."""
    bad, scan = checked.bad, Scan(connection, checked.staged)
    named = refusing.refused_bad_rows(connection, scan, bad.row_numbers, forgotten)
    if not len(named):
        return checked
    kept = ~np.isin(bad.row_numbers, named)
    return replace(
        checked,
        staged=replace(checked.staged, refused=[*checked.staged.refused, *named.tolist()]),
        rows=checked.rows - len(named),
        bad=replace(bad, row_numbers=bad.row_numbers[kept], rules=bad.rules[kept]),
    )


def _check_all(
    stage: StagingArea,
    connection: duckdb.DuckDBPyConnection,
    tables: Iterable[StagedTable],
    docs: DataDocs,
    max_quarantine: float,
    progress: ProgressFactory,
) -> list[CheckedTable]:
    """Check all tables; if one must not land, write the Data Docs and reject the batch."""
    checked: list[CheckedTable] = []
    try:
        for table in tables:
            checked.append(check(connection, table, max_quarantine, progress))
    except Rejection as rejection:
        runs = {item.staged.name: item.run for item in checked}
        runs[rejection.name] = rejection.run
        stage.delivery.require_unchanged()
        page = docs.write(f"rejected-{datetime.now(UTC):%Y%m%dT%H%M%SZ}", runs)
        raise BatchRejected(f"{rejection}; see {page}") from None
    return checked


def _new_tables(
    connection: duckdb.DuckDBPyConnection, stage: StagingArea, replace: int | None
) -> tuple[list[DeliveredTable], list[tuple[str, int]]]:
    """Return the tables that have not landed, and the names and batches of those that have."""
    if replace is not None:
        ledger.require(connection, replace)
    known = ledger.known_files(connection)
    known = {file: batch for file, batch in known.items() if batch != replace}
    tables = stage.tables()
    new = [table for table in tables if (table.table, table.sha256) not in known]
    if not new and replace is not None:
        raise UBPError(f"nothing new to replace batch {replace} with: it stays")
    return new, [(old.name, known[old.table, old.sha256]) for old in tables if old not in new]


def _land_table(
    connection: duckdb.DuckDBPyConnection,
    table: DeliveredTable,
    item: CheckedTable,
    batch: int,
    delivered_at: datetime,
    result: Ingested,
    progress: ProgressFactory,
) -> None:
    scan = Scan(connection, item.staged)
    with progress(f"land {table.table}", item.rows, "rows") as advance:
        file = landing.land_table(
            connection,
            scan,
            sha256=table.sha256,
            rows=item.rows,
            bad=item.bad,
            batch=batch,
            delivered_at=delivered_at,
        )
        advance(item.rows)
    result.files.append(file)
    result.notes += clock_changes(connection, scan)
    result.notes += landing.overlap_warnings(connection, file, batch)


def require_delivered_after(last: datetime | None, delivered: ledger.Delivered) -> None:
    """Refuse a time of delivery, as the user gave it, at which its last event had not happened."""
    if delivered.at < delivered.landed_at and last and last >= delivered.at:
        raise UBPError(
            f"--delivered-at {delivered.at:%Y-%m-%d %H:%M:%S} is not after the delivery's last "
            f"event, of {last:%Y-%m-%d %H:%M:%S}: nothing was ingested"
        )


def _notes(
    connection: duckdb.DuckDBPyConnection,
    result: Ingested,
    stage: StagingArea,
    delivered: ledger.Delivered,
    some_refused: bool,
) -> Iterator[str]:
    known = sum(file.known for file in result.files)
    if known and delivered.at < delivered.landed_at:
        yield (
            f"{known:,} rows had landed before and keep the time of that delivery: load histories "
            "in the order in which they were delivered"
        )
    for table, early, late in delivery_times.impossible(connection, result.batch):
        if early:
            yield f"{early:,} events of {table} have a delivered_at before their timestamp"
        if late:
            yield f"{late:,} events of {table} have a delivered_at in the future"
    if not some_refused and not sum(file.read for file in result.files):
        yield "no file has a row"
    for file in result.files:
        for rule, count in ledger.broken_rules(connection, result.batch, file.table).items():
            yield (
                f"{file.table}: {count:,} rows quarantined by the rule '{rule}'; `ubp quarantine` "
                "shows them"
            )
    if repeated := [file.table for file in result.files if file.repeated]:
        yield (
            f"repeated: some rows of {', '.join(repeated)} equal another one in all columns; they "
            "landed as separate events"
        )
    if not result.skipped and not some_refused:
        yield from stage.unread({file.table: file.read for file in result.files})
    if dropped := stage.dropped():
        reasons = "; ".join(f"{count:,}: {reason}" for reason, count in dropped.items())
        yield f"rows dropped by the layout, {reasons}"
    if unknown := landing.unknown_skus(connection):
        yield (
            f"{unknown:,} events have skus without product properties; they are kept, with "
            "category and price missing"
        )


def discard_caches(home: Home) -> None:
    """Remove cached vectors, which name clients by keys that are going to begin anew."""
    discard(home.scratch / "lm")
