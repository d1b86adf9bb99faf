"""``ubp ingest``: check a delivery, quarantine what fails, land the rest as one batch."""

import tempfile
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from ubp_platform.errors import BatchRejected, UBPError
from ubp_platform.events import completejourney
from ubp_platform.events.layouts import (
    MAX_QUARANTINE,
    DeliveredFile,
    Layout,
    challenge_files,
    unknown_files,
)
from ubp_platform.events.schema import TABLES
from ubp_platform.home import Home
from ubp_platform.progress import ProgressFactory, silent
from ubp_platform.quality import BrokenRule, DataDocs, SuiteRun
from ubp_platform.warehouse import Warehouse, landing
from ubp_platform.warehouse.scan import CSV_RULE, Scan

# What DuckDB may take; what does not fit is sorted on disk.
_MEMORY = "2500MB"


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
    file: DeliveredFile
    run: SuiteRun
    rows: int
    bad: landing.BadRows


def ingest(
    home: Home,
    source: str,
    layout: Layout = Layout.challenge,
    max_quarantine: float = MAX_QUARANTINE,
    progress: ProgressFactory = silent,
) -> Ingested:
    """Land a delivery as one batch.

    Parameters
    ----------
    home : Home
    source : str
        A directory; for the layout ``completejourney`` also that word, for the installed package.
    layout : Layout
    max_quarantine : float
        The share of bad rows of a file above which the whole batch is rejected.
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
        If there is nothing to ingest.
    """
    if not 0 <= max_quarantine <= 1:
        raise UBPError(f"--max-quarantine is a share between 0 and 1, not {max_quarantine}")
    if layout is Layout.challenge:
        files = challenge_files(Path(source))
        result = _ingest_files(home, source, files, max_quarantine, progress)
        if others := unknown_files(Path(source)):
            result.notes.append(f"not read, since no table is called so: {', '.join(others)}")
        return result
    data = completejourney.package_data() if source == layout else Path(source)
    if not data.exists():
        raise UBPError(f"no such path: {data}")
    with tempfile.TemporaryDirectory(prefix="ubp-") as target:
        with progress("convert completejourney", None, "rows") as advance:
            dropped = completejourney.convert(data, Path(target))
            advance(dropped.rows)
        files = challenge_files(Path(target))
        result = _ingest_files(home, str(layout), files, max_quarantine, progress)
    result.notes.insert(0, str(dropped))
    return result


def _ingest_files(
    home: Home,
    source: str,
    files: list[DeliveredFile],
    max_quarantine: float,
    progress: ProgressFactory,
) -> Ingested:
    result = Ingested()
    with Warehouse(home.warehouse, write=True, memory_limit=_MEMORY) as warehouse:
        connection = warehouse.connection
        known = landing.known_files(connection)
        new = [file for file in files if (file.table, file.sha256) not in known]
        result.skipped = [
            (file.path.name, known[file.table, file.sha256]) for file in files if file not in new
        ]
        if not new:
            return result
        batch = landing.next_batch(connection)
        docs = DataDocs(home.data_docs)
        checked: list[_Checked] = []
        try:
            for file in new:
                checked.append(_check(warehouse, file, max_quarantine, progress))
        except _Rejection as rejection:
            runs = {item.file.path.name: item.run for item in checked}
            runs[rejection.file.path.name] = rejection.run
            page = docs.write(f"rejected-{datetime.now(UTC):%Y%m%dT%H%M%SZ}", runs)
            raise BatchRejected(f"{rejection}. Nothing was ingested; see {page}") from None
        except BatchRejected as unreadable:
            raise BatchRejected(f"{unreadable}. Nothing was ingested") from None
        # Before the commit: a batch in the books has its pages.
        page = docs.write(f"batch-{batch}", {item.file.path.name: item.run for item in checked})
        with warehouse.transaction():
            for item in checked:
                scan = _open(warehouse, item.file)
                with progress(f"land {item.file.table}", item.rows, "rows") as advance:
                    result.files.append(
                        landing.land_file(
                            connection, scan, item.file.sha256, item.rows, item.bad, batch
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


class _Rejection(Exception):
    """A file that was read but must not land."""

    def __init__(self, text: str, file: DeliveredFile, run: SuiteRun) -> None:
        super().__init__(text)
        self.file, self.run = file, run


def _open(warehouse: Warehouse, file: DeliveredFile) -> Scan:
    scan = Scan(warehouse.connection, file.path, TABLES[file.table])
    scan.stage()
    return scan


def _check(
    warehouse: Warehouse, file: DeliveredFile, max_quarantine: float, progress: ProgressFactory
) -> _Checked:
    """Run the suite over a file, slice by slice."""
    name = file.path.name
    run = SuiteRun(file.table)
    scan = Scan(warehouse.connection, file.path, TABLES[file.table])
    if missing := run.check_header(scan.columns):
        hint = ""
        if len(scan.columns) == 1 and file.path.suffix.lower() == ".csv":
            hint = "; values must be separated by commas"
        raise _Rejection(
            f"{name}: missing column {', '.join(missing)}; its columns are "
            f"{', '.join(map(repr, scan.columns))}{hint}",
            file,
            run,
        )
    scan.stage()
    total, rows = scan.count(), 0
    broken_rules = _BrokenRules()
    with progress(f"check {file.table}", total, "rows") as advance:
        for numbers, frame in scan.slices():
            for broken in run.check(frame):
                if broken.whole_file:
                    raise _Rejection(f"{name}: breaks the rule: {broken.rule}", file, run)
                broken_rules.add(broken, numbers)
            broken_rules.end_slice()
            rows += len(frame)
            advance(len(frame))
            # What is already too much need not be counted to the end.
            if total and broken_rules.rows > max_quarantine * total:
                break
    found = landing.BadRows(*broken_rules.result(), scan.rejected_lines())
    if found.count and (
        reason := _too_bad(scan, found, broken_rules.absent, rows, total or rows, max_quarantine)
    ):
        raise _Rejection(f"{name}: {reason}", file, run)
    return _Checked(file, run, rows, found)


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
        first = f"line {bad.lines[0][0]}, {bad.lines[0][1]!r}"
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
