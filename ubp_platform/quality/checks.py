"""Checking the tables of a delivery: which rows break which rules, and whether it may land."""

import json
import re
from dataclasses import dataclass

import duckdb
import numpy as np

from ubp_platform.layouts.staging import DeliveredTable
from ubp_platform.progress import ProgressFactory
from ubp_platform.quality import BrokenRule, SuiteRun
from ubp_platform.warehouse import column_kinds, landing
from ubp_platform.warehouse.casts import LOCAL
from ubp_platform.warehouse.scan import CSV_RULE, RejectedLine, Scan, StagedTable


@dataclass(frozen=True)
class Checked:
    """A table that may land.

    Parameters
    ----------
    part : DeliveredTable
    staged : StagedTable
    run : SuiteRun
    rows : int
        StagedTable, without lines that are no rows.
    bad : BadRows
    """

    part: DeliveredTable
    staged: StagedTable
    run: SuiteRun
    rows: int
    bad: landing.BadRows


class Rejection(Exception):
    """A table that was read but must not land."""

    def __init__(self, text: str, name: str, run: SuiteRun) -> None:
        super().__init__(text)
        self.name, self.run = name, run


def check(
    connection: duckdb.DuckDBPyConnection,
    part: DeliveredTable,
    staged: StagedTable,
    lines: list[RejectedLine],
    max_quarantine: float,
    progress: ProgressFactory,
) -> Checked:
    """Run the suite over a table, slice by slice.

    Parameters
    ----------
    connection : DuckDBPyConnection
        Gets the temporary views of a :class:`~ubp_platform.warehouse.scan.Scan`.
    part : DeliveredTable
    staged : StagedTable
    lines : list of RejectedLine
        Of its files.
    max_quarantine : float
    progress : ProgressFactory

    Raises
    ------
    Rejection
        If it breaks a rule for tables, or has too many bad rows.
    BatchRejected
        If a column cannot be what it should be.
    """
    run = SuiteRun(part.table)
    scan = Scan(connection, staged)
    if missing := run.check_header(scan.columns):
        raise Rejection(f"{part.name}: missing column {', '.join(missing)}", part.name, run)
    total, rows = scan.count(), 0
    broken_rules = _BrokenRules()
    with progress(f"check {part.table}", total, "rows") as advance:
        for numbers, frame in scan.slices():
            for broken in run.check(frame):
                if broken.whole_file:
                    raise Rejection(f"{part.name}: breaks the rule: {broken.rule}", part.name, run)
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
        raise Rejection(f"{part.name}: {reason}", part.name, run)
    return Checked(part, staged, run, rows, found)


class _BrokenRules:
    """Which rows break which rules, in eight bytes a row and one text a combination."""

    def __init__(self) -> None:
        self.rows = 0
        #: Rows without a readable value, by the rule that wants one, and its column.
        self.absent: dict[tuple[str, str], int] = {}
        self._rules: list[str] = []
        self._slice: list[tuple[np.ndarray, int]] = []
        self._found: list[tuple[np.ndarray, np.ndarray]] = []

    def add(self, broken: BrokenRule, numbers: np.ndarray) -> None:
        """Take a rule and the rows of the slice that break it."""
        if broken.rule not in self._rules:
            self._rules.append(broken.rule)
        self._slice.append((numbers[broken.positions], 1 << self._rules.index(broken.rule)))
        if broken.absent:
            key = (broken.rule, re.sub("_(unreadable|present)$", "", broken.column))
            self.absent[key] = self.absent.get(key, 0) + len(broken.positions)

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
    absent: dict[tuple[str, str], int],
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
    for (rule, column), count in absent.items():
        if count == rows:
            why = f"no row obeys the rule '{rule}'"
            if kind := scan.kinds.get(column):
                why += f", since {column} holds {column_kinds.WORDS[kind]} in this home"
            return f"{why}; {first}{_hint(scan, column)}"
    read = total + len(bad.lines)
    if bad.count <= max_quarantine * read:
        return ""
    rule = bad.rules[0] if len(bad.rules) else CSV_RULE
    if "in the future" in rule and scan.staged.time_zone:
        first += f" (times without a zone are read as {scan.staged.time_zone}: are these others'?)"
    elif column := next((column for text, column in absent if text == rule), ""):
        first += _hint(scan, column)
    return (
        f"{'at least ' if rows < total else ''}{bad.count:,} of {read:,} rows "
        f"({bad.count / read:.1%}) break a rule, more than "
        f"--max-quarantine {max_quarantine:g} allows; the first, '{rule}', in {first}"
    )


def _hint(scan: Scan, column: str) -> str:
    """Say how a layout would read the first bad row's value of a column."""
    value = str(json.loads(scan.first_bad()).get(column) or "")
    hint = ""
    if re.fullmatch(r"-?[0-9.]*,[0-9]+", value) and column in ("price", "quantity"):
        hint = f"replace({column}, ',', '.') in the layout's SELECT reads a decimal comma"
    elif column == "timestamp" and re.fullmatch(LOCAL, value) and scan.staged.time_zone is None:
        hint = "it names no zone, and the layout has no `time_zone`"
    elif column == "timestamp" and re.fullmatch(r"[0-9]{10}|[0-9]{13}|[0-9]{16}", value):
        hint = (
            "from_seconds, from_milliseconds or from_microseconds in the layout's SELECT reads it"
        )
    elif column == "timestamp" and re.match(r"[0-9]{1,2}[./-][0-9]{1,2}[./-][0-9]{4}", value):
        hint = "try_strptime(…, '%d.%m.%Y %H:%M:%S') in the layout's SELECT reads such times"
    return f" ({hint})" if hint else ""
