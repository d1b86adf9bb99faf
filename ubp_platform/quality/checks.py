"""Check the tables of a delivery: which rows break which rules, and whether a table may land."""

import json
import re
from dataclasses import dataclass

import duckdb

from ubp_platform.progress import ProgressFactory
from ubp_platform.quality.broken_rules import BrokenRules
from ubp_platform.quality.suites import SuiteRun
from ubp_platform.warehouse import column_kinds
from ubp_platform.warehouse.casts import LOCAL_TIME
from ubp_platform.warehouse.landing import BadRows
from ubp_platform.warehouse.scan import Scan
from ubp_platform.warehouse.staged import CSV_RULE, StagedTable

# The number of bad rows that are read again for a message.
_EXAMPLES = 1000


@dataclass(frozen=True)
class CheckedTable:
    """A table that may land; ``rows`` counts its staged rows, without rejected lines."""

    staged: StagedTable
    run: SuiteRun
    rows: int
    bad: BadRows


class Rejection(Exception):
    """A table that was read but must not land."""

    def __init__(self, text: str, name: str, run: SuiteRun) -> None:
        super().__init__(text)
        self.name, self.run = name, run


def check(
    connection: duckdb.DuckDBPyConnection,
    staged: StagedTable,
    max_quarantine: float,
    progress: ProgressFactory,
) -> CheckedTable:
    """Run the suite over a table, slice by slice.

    Parameters
    ----------
    connection : DuckDBPyConnection
        Gets the temporary views of a :class:`~ubp_platform.warehouse.scan.Scan`.
    staged : StagedTable
    max_quarantine : float
        The largest share of bad rows with which a table may land.
    progress : ProgressFactory

    Raises
    ------
    Rejection
        If the table breaks a rule for tables, or has too many bad rows.
    BatchRejected
        If a column is missing, or of a type that cannot hold what the table holds.
    """
    name, table = staged.name, staged.table.name
    run, scan = SuiteRun(table), Scan(connection, staged)
    if missing := run.check_header(list(scan.types)):
        raise Rejection(f"{name}: missing column {', '.join(missing)}", name, run)
    total, rows, broken_rules = scan.count(), 0, BrokenRules()
    with progress(f"check {table}", total, "rows") as advance:
        for numbers, frame in scan.slices():
            for broken in run.check(frame):
                if broken.is_about_table:
                    raise Rejection(f"{name}: breaks the rule: {broken.rule}", name, run)
                broken_rules.add(broken, numbers)
            broken_rules.end_slice()
            rows += len(frame)
            advance(len(frame))
            # Too many already: the rest need not be checked.
            if total and broken_rules.rows > max_quarantine * total:
                break
    bad = BadRows(*broken_rules.result(), staged.lines)
    checked = CheckedTable(staged, run, rows, bad)
    if bad.count and (
        reason := _reason_to_reject(scan, checked, broken_rules.absent, total, max_quarantine)
    ):
        raise Rejection(f"{name}: {reason}", name, run)
    return checked


def first_bad_row(scan: Scan, bad: BadRows) -> str:
    """Return the first bad row as delivered, as JSON."""
    scan.mark_bad(bad.row_numbers[:_EXAMPLES], bad.rules[:_EXAMPLES])
    return scan.first_bad()


def _reason_to_reject(
    scan: Scan,
    checked: CheckedTable,
    absent: dict[tuple[str, str], int],
    total: int,
    max_quarantine: float,
) -> str:
    """Return why a table with bad rows must not land, or nothing if it may.

    Only the first ``checked.rows`` of ``total`` rows were checked.
    """
    bad, rows = checked.bad, checked.rows
    if len(bad.row_numbers):
        first = f"row {bad.row_numbers[0]}, {first_bad_row(scan, bad)}"
        if value := scan.first_value_over_lines():
            return f"a quote is not closed: a value runs over lines in {value[:200]}"
    else:
        first = f"line {bad.lines[0].line}, {bad.lines[0].text!r}"
    for (rule, column), count in absent.items():
        if count == rows:
            why = f"no row obeys the rule '{rule}'"
            if kind := scan.kinds.get(column):
                why += f", because {column} holds {column_kinds.WORDS[kind]} in this home"
            return f"{why}; {first}{_hint(scan, column)}"
    read = total + len(bad.lines)
    if bad.count <= max_quarantine * read:
        return ""
    rule = bad.rules[0] if len(bad.rules) else CSV_RULE
    if "in the future" in rule and (zone := scan.staged.time_zone):
        first += f" (times without a zone are read as {zone}: are they in another zone?)"
    elif column := next((column for text, column in absent if text == rule), ""):
        first += _hint(scan, column)
    return (
        f"{'at least ' if rows < total else ''}{bad.count:,} of {read:,} rows "
        f"({bad.count / read:.1%}) break a rule, more than "
        f"--max-quarantine {max_quarantine:g} allows; the first breaks '{rule}': {first}"
    )


def _hint(scan: Scan, column: str) -> str:
    """Return how a layout could read the first bad row's value of a column."""
    value = str(json.loads(scan.first_bad()).get(column) or "")
    hint = ""
    if re.fullmatch(r"-?[0-9.]*,[0-9]+", value) and column in ("price", "quantity"):
        hint = f"replace({column}, ',', '.') in the layout's SELECT reads a decimal comma"
    elif column == "timestamp":
        if re.fullmatch(LOCAL_TIME, value) and scan.staged.time_zone is None:
            hint = "it names no zone, and the layout has no `time_zone`"
        elif re.fullmatch(r"[0-9]{10}|[0-9]{13}|[0-9]{16}", value):
            functions = "from_seconds, from_milliseconds or from_microseconds"
            hint = f"{functions} in the layout's SELECT reads it"
        elif re.match(r"[0-9]{1,2}[./-][0-9]{1,2}[./-][0-9]{4}", value):
            hint = "try_strptime(…, '%d.%m.%Y %H:%M:%S') in the layout's SELECT reads such times"
    return f" ({hint})" if hint else ""
