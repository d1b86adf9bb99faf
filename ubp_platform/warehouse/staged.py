"""The rows of a table as a layout's SQL returns them, in a Parquet file."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from ubp_platform.events.schema import ColumnKind, Table

CSV_RULE = "the line has as many values as the header has columns"


class RejectedLine(NamedTuple):
    """A line of a CSV file that is not a row, and the number that the row would have, from 1."""

    file: str
    line: int
    text: str
    row: int


@dataclass(frozen=True)
class StagedTable:
    """The rows of a table as a layout's SQL returns them.

    Parameters
    ----------
    table : Table
    path : Path
        A Parquet file with at least the table's columns; the quarantine keeps the others as well.
        ``_file`` and ``_row`` name the origin of a row.
    name : str
        The name used in messages: the source file, if there is only one, or the table.
    time_zone : str, optional
        The zone of times that name none.
    kinds : mapping of str to str
        The kinds of columns, see :mod:`~ubp_platform.warehouse.column_kinds`; by default integers,
        buckets and codes.
    lines : sequence of RejectedLine
        The rejected lines of the table's files.
    refused : sequence of int
        The numbers of rows, from 1, that are left out: those of forgotten clients.
    """

    table: Table
    path: Path
    name: str
    time_zone: str | None = None
    kinds: Mapping[str, ColumnKind] = field(default_factory=dict)
    lines: Sequence[RejectedLine] = ()
    refused: Sequence[int] = ()

    def source_of(self, column: str) -> str | None:
        """Return the delivered column that a column of the warehouse's table is made from.

        A price is either a bucket or money, a text either codes or words: the other column of the
        two has no source.
        """
        if column == "money":
            return "price" if self.kinds.get("price") == "money" else None
        if column == "words":
            codes = self.table.codes or ""
            return codes if self.kinds.get(codes) == "words" else None
        has_other_kind = self.kinds.get(column) in ("money", "words")
        return None if has_other_kind and column in self.table.columns else column
