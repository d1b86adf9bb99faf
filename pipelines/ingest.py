"""``ubp ingest``: check a delivery, quarantine what fails, land the rest as one batch."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from ubp_platform.errors import BatchRejected, UBPError
from ubp_platform.events import completejourney
from ubp_platform.home import Home
from ubp_platform.layouts import MAX_QUARANTINE, RELEVANT_CLIENTS
from ubp_platform.layouts.description import find, shipped
from ubp_platform.layouts.source import Delivery, Source, recognise
from ubp_platform.layouts.staging import Part, Stage, staging
from ubp_platform.progress import ProgressFactory, silent
from ubp_platform.quality import BrokenRule, DataDocs, SuiteRun
from ubp_platform.warehouse import Warehouse, landing
from ubp_platform.warehouse.scan import CSV_RULE, RejectedLine, Scan, Staged

# What DuckDB may take; what does not fit is sorted on disk.
_MEMORY = "1500MB"
#: The layout whose files must be brought into another one.
COMPLETEJOURNEY = "completejourney"


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
    """

    batch: int | None = None
    files: list[landing.Landed] = field(default_factory=list)
    skipped: list[tuple[str, int]] = field(default_factory=list)
    data_docs: Path | None = None
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class _Checked:
    part: Part
    staged: Staged
    run: SuiteRun
    rows: int
    bad: landing.BadRows


def ingest(
    home: Home,
    source: str,
    layout: str | None = None,
    max_quarantine: float = MAX_QUARANTINE,
    progress: ProgressFactory = silent,
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
    with _delivered(source, layout, progress) as (delivery, notes):
        result = _land(home, source, delivery, max_quarantine, progress)
    result.notes[:0] = notes
    return result


@contextmanager
def _delivered(
    source: str, layout: str | None, progress: ProgressFactory
) -> Iterator[tuple[Delivery, list[str]]]:
    """Look at a source; what is not in the shape of a layout is brought into one."""
    if COMPLETEJOURNEY not in (source, layout):
        delivery = _look(Path(source), layout)
        notes = []
        if layout is None:
            notes.append(f"taken for the layout {delivery.layout.name!r}, by its files and columns")
        if unread := [name for name in delivery.unread if name != RELEVANT_CLIENTS]:
            notes.append(f"not read, since no table is called so: {', '.join(unread)}")
        yield delivery, notes
        return
    data = completejourney.package_data() if source == COMPLETEJOURNEY else Path(source)
    if not data.exists():
        raise UBPError(f"no such path: {data}")
    with tempfile.TemporaryDirectory(prefix="ubp-") as target:
        with progress("convert completejourney", None, "rows") as advance:
            dropped = completejourney.convert(data, Path(target))
            advance(dropped.rows)
        yield _look(Path(target), "challenge"), [str(dropped)]


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
    home: Home, source: str, delivery: Delivery, max_quarantine: float, progress: ProgressFactory
) -> Ingested:
    result = Ingested()
    with (
        Warehouse(home.warehouse, write=True, memory_limit=_MEMORY) as warehouse,
        tempfile.TemporaryDirectory(prefix=".staging-", dir=home.root) as directory,
        _opened(delivery, Path(directory)) as stage,
    ):
        connection = warehouse.connection
        known = landing.known_files(connection)
        parts = stage.parts()
        new = [part for part in parts if (part.table, part.sha256) not in known]
        result.skipped = [
            (part.name, known[part.table, part.sha256]) for part in parts if part not in new
        ]
        if not new:
            return result
        batch = landing.next_batch(connection)
        docs = DataDocs(home.data_docs)
        checked: list[_Checked] = []
        try:
            lines = stage.lines(new)
            for part in new:
                checked.append(
                    _check(warehouse, stage, part, lines[part.table], max_quarantine, progress)
                )
        except _Rejection as rejection:
            runs = {item.part.name: item.run for item in checked}
            runs[rejection.name] = rejection.run
            page = docs.write(f"rejected-{datetime.now(UTC):%Y%m%dT%H%M%SZ}", runs)
            raise BatchRejected(f"{rejection}. Nothing was ingested; see {page}") from None
        except BatchRejected as unreadable:
            raise BatchRejected(f"{unreadable}. Nothing was ingested") from None
        # Before the commit: a batch in the books has its pages.
        page = docs.write(f"batch-{batch}", {item.part.name: item.run for item in checked})
        with warehouse.transaction():
            for item in checked:
                scan = Scan(connection, item.staged)
                with progress(f"land {item.part.table}", item.rows, "rows") as advance:
                    result.files.append(
                        landing.land_file(
                            connection, scan, item.part.sha256, item.rows, item.bad, batch
                        )
                    )
                    advance(item.rows)
            landing.record_batch(connection, batch, source, page)
        result.batch, result.data_docs = batch, page
        if unknown := landing.unknown_skus(connection):
            result.notes.append(
                f"{unknown:,} events are of skus without product properties; they are kept, their "
                "category and price are missing"
            )
    return result


@contextmanager
def _opened(delivery: Delivery, directory: Path) -> Iterator[Stage]:
    try:
        with staging(delivery, directory, _MEMORY) as stage:
            yield stage
    except BatchRejected as unreadable:
        said = str(unreadable)
        raise BatchRejected(
            said if "Nothing was ingested" in said else f"{said}. Nothing was ingested"
        ) from None


class _Rejection(Exception):
    """A table that was read but must not land."""

    def __init__(self, text: str, name: str, run: SuiteRun) -> None:
        super().__init__(text)
        self.name, self.run = name, run


def _check(
    warehouse: Warehouse,
    stage: Stage,
    part: Part,
    lines: list[RejectedLine],
    max_quarantine: float,
    progress: ProgressFactory,
) -> _Checked:
    """Run the suite over a table, slice by slice."""
    run = SuiteRun(part.table)
    staged = stage.rows(part)
    scan = Scan(warehouse.connection, staged)
    if missing := run.check_header(scan.columns):
        raise _Rejection(f"{part.name}: missing column {', '.join(missing)}", part.name, run)
    total, rows = scan.count(), 0
    broken_rules = _BrokenRules()
    with progress(f"check {part.table}", total, "rows") as advance:
        for numbers, frame in scan.slices():
            for broken in run.check(frame):
                if broken.whole_file:
                    raise _Rejection(f"{part.name}: breaks the rule: {broken.rule}", part.name, run)
                broken_rules.add(broken, numbers)
            broken_rules.end_slice()
            rows += len(frame)
            advance(len(frame))
            # What is already too much need not be counted to the end.
            if total and broken_rules.rows > max_quarantine * total:
                break
    found = landing.BadRows(*broken_rules.result(), lines)
    if found.count and (
        reason := _too_bad(scan, found, broken_rules.absent, rows, total, max_quarantine)
    ):
        raise _Rejection(f"{part.name}: {reason}", part.name, run)
    return _Checked(part, staged, run, rows, found)


class _BrokenRules:
    """Which rows break which rules, in eight bytes a row and one text a combination."""

    def __init__(self) -> None:
        self.rows = 0
        #: Rows without a readable value, by the rule that wants one.
        self.absent: dict[str, int] = {}
        self._rules: list[str] = []
        self._slice: list[tuple[np.ndarray, int]] = []
        self._found: list[tuple[np.ndarray, np.ndarray]] = []

    def add(self, broken: BrokenRule, numbers: np.ndarray) -> None:
        """Take a rule and the rows of the slice that break it."""
        if broken.rule not in self._rules:
            self._rules.append(broken.rule)
        self._slice.append((numbers[broken.positions], 1 << self._rules.index(broken.rule)))
        if broken.absent:
            self.absent[broken.rule] = self.absent.get(broken.rule, 0) + len(broken.positions)

    def end_slice(self) -> None:
        """Bring the rules of each row together."""
        if self._slice:
            numbers = np.concatenate([rows for rows, _ in self._slice])
            bits = np.concatenate([np.full(len(rows), bit) for rows, bit in self._slice])
            bad, which = np.unique(numbers, return_inverse=True)
            rules = np.zeros(len(bad), np.int64)
            np.bitwise_or.at(rules, which, bits)
            self._found.append((bad, rules))
            self.rows += len(bad)
            self._slice.clear()

    def result(self) -> tuple[np.ndarray, np.ndarray]:
        """Give the bad rows' numbers, and their rules in words."""
        numbers = np.concatenate([np.empty(0, np.int64), *(part[0] for part in self._found)])
        rules = np.concatenate([np.empty(0, np.int64), *(part[1] for part in self._found)])
        combinations, which = np.unique(rules, return_inverse=True)
        texts = [
            "; ".join(rule for bit, rule in enumerate(self._rules) if combination >> bit & 1)
            for combination in combinations.tolist()
        ]
        return numbers, np.array(texts, dtype=object)[which]


def _too_bad(
    scan: Scan,
    bad: landing.BadRows,
    absent: dict[str, int],
    rows: int,
    total: int,
    max_quarantine: float,
) -> str:
    """Say why a file with bad rows must not land; nothing if it may.

    Of ``total`` rows the first ``rows`` were checked.
    """
    if len(bad.row_numbers):
        scan.mark_bad(bad.row_numbers[:1000], bad.rules[:1000])
        if value := scan.first_value_over_lines():
            return f"a quote is not closed: a value runs over lines in {value[:200]}"
        first = f"row {bad.row_numbers[0]}, {scan.first_bad()}"
    else:
        first = f"line {bad.lines[0].line}, {bad.lines[0].text!r}"
    for rule, count in absent.items():
        if count == rows:
            return f"no row obeys the rule '{rule}'; {first}"
    read = total + len(bad.lines)
    if bad.count <= max_quarantine * read:
        return ""
    rule = bad.rules[0] if len(bad.rules) else CSV_RULE
    return (
        f"{'at least ' if rows < total else ''}{bad.count:,} of {read:,} rows "
        f"({bad.count / read:.1%}) break a rule, more than "
        f"--max-quarantine {max_quarantine:g} allows; the first, '{rule}', in {first}"
    )
