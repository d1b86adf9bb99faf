"""StagedTable tables as rows of the warehouse's types: cast, no judgement.

A value that cannot be cast becomes NULL here; that this is not allowed is said by the suites.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import duckdb
import numpy as np
import pandas as pd
import pyarrow as pa

from ubp_platform.errors import BatchRejected, first_line
from ubp_platform.events.schema import DUCKDB_TYPES, ColumnKind, Detail, Kind, Table
from ubp_platform.warehouse.casts import (
    EXACT,
    amount_of,
    codes_of,
    local_time_of,
    quoted,
    text_of,
    time_of,
    whole_of,
)

SLICE_ROWS = 1_000_000
CSV_RULE = "the line has as many values as the header has columns"

# No table has a column of this name.
_ROW = "_ubp_row"
_NUMBER = "row_number"
# Of the local times of a zone: how many were skipped by its clocks, and how many came twice.
_CLOCK_CHANGES = """
WITH zone AS (SELECT $1 AS zone),
     delivered_time AS (SELECT {local} AS local FROM delivered),
     changing AS (
         SELECT day FROM (SELECT DISTINCT local::DATE AS day FROM delivered_time), zone
         WHERE timezone(zone, day::TIMESTAMP + INTERVAL 36 HOUR)
               <> timezone(zone, day::TIMESTAMP - INTERVAL 12 HOUR) + INTERVAL 48 HOUR)
SELECT count(*) FILTER (timezone(zone, moment) <> local),
       count(*) FILTER (timezone(zone, moment + INTERVAL 1 HOUR) = local
                        OR timezone(zone, moment - INTERVAL 1 HOUR) = local)
FROM (SELECT local, zone, timezone(zone, local) AS moment
      FROM delivered_time JOIN changing ON local::DATE = day, zone)
"""


class RejectedLine(NamedTuple):
    """A line of a CSV file that is no row, and which row it would be, from 1."""

    file: str
    line: int
    text: str
    row: int


@dataclass(frozen=True)
class StagedTable:
    """The rows of a table as a layout's SQL gives them.

    Parameters
    ----------
    table : Table
    path : Path
        A Parquet file with a column for each of the table, and more, which are kept in the
        quarantine: ``_file`` and ``_row`` say where a row came from.
    name : str
        What messages call it: the file that it is made of, or the table.
    time_zone : str, optional
        Of times that name none.
    kinds : mapping of str to str
        What its columns hold, see :mod:`~ubp_platform.warehouse.column_kinds`; where nothing is
        said whole numbers, buckets and codes.
    """

    table: Table
    path: Path
    name: str
    time_zone: str | None = None
    kinds: Mapping[str, ColumnKind] = field(default_factory=dict)


class Scan:
    """A staged table, readable any number of times on its own DuckDB connection.

    Parameters
    ----------
    connection : DuckDBPyConnection
        Gets the temporary views ``delivered`` (as it was staged, with ``_ubp_row``, from 1) and
        ``staged`` (the columns of the table, cast).
    staged : StagedTable

    Raises
    ------
    BatchRejected
        If a column is missing, or its type cannot hold what the table wants.
    """

    def __init__(self, connection: duckdb.DuckDBPyConnection, staged: StagedTable) -> None:
        self.staged, self.table, self.name = staged, staged.table, staged.name
        self._connection = connection
        self._types = self._open()
        self._stage()

    @property
    def kinds(self) -> Mapping[str, ColumnKind]:
        """What the columns hold."""
        return self.staged.kinds

    @property
    def columns(self) -> list[str]:
        """The columns that were staged."""
        return list(self._types)

    def _open(self) -> dict[str, str]:
        try:
            relation = self._connection.read_parquet(
                str(self.staged.path), file_row_number=True, hive_partitioning=False
            )
        except duckdb.Error as error:
            raise BatchRejected(f"{self.name}: cannot be read: {first_line(error)}") from None
        types = {
            column.lower(): str(kind)
            for column, kind in zip(relation.columns, relation.types, strict=True)
            if column != "file_row_number"
        }
        needed = [name for name in self.table.columns if name not in self.table.optional]
        if missing := [column for column in needed if column not in types]:
            raise BatchRejected(
                f"{self.name}: missing column {', '.join(missing)}; its columns are "
                f"{', '.join(map(repr, types))}"
            )
        self._connection.execute(
            f"""CREATE OR REPLACE TEMP VIEW delivered AS
                SELECT * EXCLUDE file_row_number, file_row_number + 1 AS {_ROW}
                FROM read_parquet({quoted(self.staged.path)},
                                  file_row_number = true, hive_partitioning = false)"""
        )
        return types

    def _stage(self) -> None:
        casts = []
        for column, kind in self.table.kinds.items():
            raw, taken = self._source(column)
            type_ = self._types.get(raw)
            if type_ == '"NULL"':  # a SELECT has NULL there
                type_ = None
            expression = self._cast(raw, kind, type_) if taken and type_ else "NULL"
            if expression is None:
                raise BatchRejected(
                    f"{self.name}: the column {column} is of type {type_} throughout; "
                    f"{self._wanted(column, kind)} is expected"
                )
            text = kind == "id" and self.kinds.get(column) == "text"
            # What does not fit the warehouse's type is found by the suite, not by a cast.
            if expression == "NULL":
                expression = f"NULL::{'VARCHAR' if text else DUCKDB_TYPES[kind]}"
            casts.append(f"{expression} AS {column}")
            if taken and raw in self.table.fillable:
                there = f'"{raw}" IS NOT NULL' if type_ else "false"
                if type_ == "VARCHAR":
                    there = f"trim(\"{raw}\") <> ''"
                casts.append(f"({there} AND ({expression}) IS NULL) AS {raw}_unreadable")
        self._connection.execute(
            f"""CREATE OR REPLACE TEMP VIEW staged AS
                SELECT {_ROW} AS row_number, {", ".join(casts)} FROM delivered"""
        )

    def _source(self, column: str) -> tuple[str, bool]:
        """Name the delivered column that one is made of, and say whether it is of its kind.

        A price is a bucket or money, a text is codes or words: the other column stays empty.
        """
        if column == "money":
            return "price", self.kinds.get("price") == "money"
        if column == "words":
            raw = self.table.codes or ""
            return raw, self.kinds.get(raw) == "words"
        other = self.kinds.get(column) in ("money", "words") and column in self.table.columns
        return column, not other

    def _cast(self, raw: str, kind: Kind | Detail, type_: str) -> str | None:
        """Write the cast of a raw column; None where its type cannot hold the kind."""
        value = f'"{raw}"'
        if kind in ("time", "moment"):
            return time_of(value, type_, self.staged.time_zone)
        if kind == "codes":
            return codes_of(value, type_)
        if kind == "amount":
            return amount_of(value, type_)
        if kind == "words":
            return f"CASE WHEN trim({value}) <> '' THEN {value} END" if type_ == "VARCHAR" else None
        if kind == "id" and self.kinds.get(raw) == "text":
            return text_of(value, type_)
        if type_ in EXACT:
            self._require_exact(value, type_)
        return whole_of(value, type_)

    def _wanted(self, column: str, kind: Kind | Detail) -> str:
        if self.kinds.get(column) == "text":
            return "a text, as this shop's ids in that column are,"
        wanted = {
            "time": "a time",
            "moment": "a time",
            "codes": "a list of codes",
            "amount": "a number",
        }
        return {**wanted, "words": "a text"}.get(kind, "a whole number")

    def _require_exact(self, value: str, type_: str) -> None:
        """Refuse numbers that are too large for their type to tell them apart."""
        rows = self._connection.execute(
            f"SELECT {value} FROM delivered WHERE abs({value}) >= {EXACT[type_]} LIMIT 1"
        ).fetchall()
        if rows:
            raise BatchRejected(
                f"{self.name}: the column {value} is of type {type_} and holds {rows[0][0]:.0f}: "
                f"from {EXACT[type_]:,} on such numbers merge with their neighbours; deliver them "
                "as whole numbers or as text"
            )

    def count(self) -> int:
        """Count the rows."""
        return int(self._connection.execute("SELECT count(*) FROM delivered").fetchall()[0][0])

    def clock_changes(self) -> Iterator[str]:
        """Say how many local times fall into the hours in which the clocks change."""
        zone, table = self.staged.time_zone, self.table.name
        for column, kind in self.table.kinds.items():
            type_ = self._types.get(column)
            if kind not in ("time", "moment") or type_ is None or zone in (None, "UTC"):
                continue
            if not (local := local_time_of(f'"{column}"', type_)):
                continue
            query = _CLOCK_CHANGES.format(local=local)
            missing, twice = self._connection.execute(query, [zone]).fetchall()[0]
            if missing:
                yield (
                    f"{missing:,} times of {table}.{column} do not exist in {zone}, since "
                    "its clocks went forward then: they are taken for an hour later"
                )
            if twice:
                yield (
                    f"{twice:,} times of {table}.{column} exist twice in {zone}, since its "
                    "clocks went back then: they are taken for the later ones"
                )

    def slices(self) -> Iterator[tuple[np.ndarray, pd.DataFrame]]:
        """Read the rows as GX takes it.

        Yields
        ------
        row_numbers : ndarray of int64, shape (n,)
        frame : DataFrame
            Numbers as int64 (float64 where one is NULL), times in UTC; of a column of codes its
            ``_count``, ``_min`` and ``_max``, and whether it is ``_present`` as codes or words; of
            a column that may be empty whether there is something ``_unreadable`` in it. What may
            be missing, and is, is not there: no rule need be asked about it.
        """
        there = [column for column in self.table.fillable if column in self._types]
        parts = [f"{column}_unreadable" for column in there]
        # Of an event's price and quantity, and a product's money.
        amounts = [name for name, kind in self.table.details.items() if kind == "amount"]
        parts += [
            name for name in amounts if name in there or (name == "money" and "price" in there)
        ]
        for column, kind in self.table.columns.items():
            if column in self.table.optional and column not in there:
                continue
            if kind == "time":
                # GX compares zoned times as columns, naive ones row by row.
                parts.append(f"timezone('UTC', {column}) AS {column}")
            elif kind == "codes":
                parts.append(f"len({column}) AS {column}_count")
                parts += [
                    f"list_{end}({column})::BIGINT AS {column}_{end}" for end in ("min", "max")
                ]
                present = f"{column} IS NOT NULL OR words IS NOT NULL"
                parts.append(f"nullif({present}, false) AS {column}_present")
            else:
                parts.append(column)
        try:
            reader = self._connection.sql(
                f"SELECT row_number, {', '.join(parts)} FROM staged"
            ).to_arrow_reader(SLICE_ROWS)
            for table in _slices(reader):
                frame = table.to_pandas()
                yield frame.pop("row_number").to_numpy(), frame
        except (duckdb.Error, pa.ArrowException) as error:
            raise BatchRejected(f"{self.name}: cannot be read: {first_line(error)}") from None

    def mark_bad(self, row_numbers: np.ndarray, rules: np.ndarray) -> None:
        """Make the views ``good`` and ``bad_original``.

        ``good`` is ``staged`` without these rows; ``bad_original`` has them as they were staged:
        ``row_number``, ``file``, ``rule`` and ``original`` (JSON). Number and file are those of the
        delivery, where the staged rows say them.

        Parameters
        ----------
        row_numbers : ndarray of int64, shape (n,)
        rules : ndarray of object (str), shape (n,)
            The rules each row breaks, in words.
        """
        bad = pa.table(
            {_ROW: pa.array(row_numbers, pa.int64()), "rule": pa.array(rules, pa.string())}
        )
        self._connection.register("bad_row", bad)
        number, file = _ROW, quoted(f"{self.table.name}, as staged")
        if {"_file", "_row"} <= self._types.keys():
            number, file = "_row", "parse_filename(_file)"
        elif self.staged.path.name == self.name:  # one file of Parquet, as it lies
            file = quoted(self.name)
        hidden = json.dumps(dict.fromkeys([_ROW, "_row", "_file"]))
        self._connection.execute(
            f"""CREATE OR REPLACE TEMP VIEW good AS
                SELECT * FROM staged ANTI JOIN bad_row ON staged.{_NUMBER} = bad_row.{_ROW}"""
        )
        # Of the delivered columns nothing is known: none may meet one of ours.
        self._connection.execute(
            f"""CREATE OR REPLACE TEMP VIEW bad_original AS
                SELECT bad.number AS row_number, bad.source_row, bad.file, bad_row.rule,
                       json_merge_patch(bad.row, '{hidden}') AS original
                FROM (SELECT d.{_ROW} AS number, d.{number} AS source_row,
                             {file} AS file, to_json(d) AS row
                      FROM delivered d SEMI JOIN bad_row USING ({_ROW})) bad
                JOIN bad_row ON bad.number = bad_row.{_ROW}"""
        )

    def first_bad(self) -> str:
        """Give the first bad row as it was delivered, as JSON; call :meth:`mark_bad` before."""
        rows = self._connection.execute(
            "SELECT original FROM bad_original ORDER BY row_number LIMIT 1"
        ).fetchall()
        return str(rows[0][0])

    def first_value_over_lines(self) -> str | None:
        """Give the first bad row with a value that runs over lines; call `mark_bad` before.

        Without codes such a value is what lies between two stray quotes of a CSV file.
        """
        if self.table.codes:
            return None
        rows = self._connection.execute(
            """SELECT original FROM bad_original WHERE contains(original::VARCHAR, '\\n')
               ORDER BY row_number LIMIT 1"""
        ).fetchall()
        return str(rows[0][0]) if rows else None


def _slices(reader: pa.RecordBatchReader) -> Iterator[pa.Table]:
    """Put batches together: DuckDB ends one with each row group of a file, however small."""
    waiting, rows = [], 0
    for batch in reader:
        waiting.append(batch)
        rows += len(batch)
        if rows >= SLICE_ROWS:
            yield pa.Table.from_batches(waiting)
            waiting, rows = [], 0
    if waiting:
        yield pa.Table.from_batches(waiting)
