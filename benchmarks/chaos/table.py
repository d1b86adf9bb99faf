"""The table of tries and failures, on the terminal and in a document."""

import re
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks.machine import describe

BEGIN, END = "<!-- chaos: table -->", "<!-- chaos: end -->"


@dataclass
class Row:
    """A row of the table."""

    name: str
    what: str
    tries: int = 0
    failures: list[str] = field(default_factory=list)
    note: str = ""


def show(rows: list[Row]) -> None:
    """Print every failure, those of the same kind once, and then the table."""
    for row in rows:
        for failure, count in Counter(map(_kind, row.failures)).most_common():
            print(f"{row.name}: {count} x {failure}")
    table = Table(caption=describe(), caption_justify="left")
    for column in ("row", "what happens", "tries", "failures"):
        table.add_column(column, justify="right" if column in ("tries", "failures") else "left")
    for row in rows:
        table.add_row(row.name, row.what, *_figures(row))
    Console(width=110).print(table)


def write(rows: list[Row], document: Path) -> None:
    """Replace the table in a document by that of this run; rows that did not run stay."""
    text = document.read_text("utf-8")
    before, rest = text.split(BEGIN)
    old, after = rest.split(END)
    lines = {line.split("|")[1].strip(): line for line in old.splitlines() if line.startswith("| ")}
    lines.pop("row", None)
    for row in rows:
        lines[row.name] = f"| {row.name} | {row.what} | {' | '.join(_figures(row))} |"
    head = "| row | what happens | tries | failures |\n|---|---|---:|---:|"
    body = "\n".join(lines.values())
    new = f"{before}{BEGIN}\n{head}\n{body}\n\nLast run: {describe()}.\n{END}{after}"
    document.write_text(new, "utf-8")


def _figures(row: Row) -> tuple[str, str]:
    if row.note:
        return "–", row.note
    return f"{row.tries:,}", f"{len(row.failures):,}"


def _kind(failure: str) -> str:
    """Drop what differs between failures of the same kind: directories and random names."""
    return re.sub(r"/\S*?/try/", "", re.sub(r"\b[0-9a-f]{16,}\b", "*", failure))
