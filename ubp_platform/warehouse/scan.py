"""Staged tables as rows of the warehouse's types.

A value that cannot be cast becomes NULL here; whether NULL is allowed is a rule of the suites.
"""

import json
from collections.abc import Iterator, Mapping
from datetime import datetime

import duckdb
import numpy as np
import pandas as pd
import pyarrow as pa

from ubp_platform.errors import BatchRejected, first_line
from ubp_platform.events.schema import ColumnKind
from ubp_platform.times import aware_utc
from ubp_platform.warehouse.casts import quoted
from ubp_platform.warehouse.staged import StagedTable
from ubp_platform.warehouse.staged_casts import column_casts

SLICE_ROWS = 1_000_000

# No delivered column has this name.
_ROW = "_ubp_row"


class Scan:
    """A staged table that can be read any number of times.

    Parameters
    ----------
    connection : DuckDBPyConnection
        Gets the temporary views ``delivered`` (the staged rows, with ``_ubp_row`` counted from 1)
        and ``staged`` (the columns of the table, cast).
    staged : StagedTable

    Raises
    ------
    BatchRejected
        If a column is missing, or of a type that cannot hold what the table holds.
    """

    def __init__(self, connection: duckdb.DuckDBPyConnection, staged: StagedTable) -> None:
        self.staged, self.table, self.name = staged, staged.table, staged.name
        self._connection = connection
        #: The DuckDB types of the delivered columns.
        self.types = self._open()
        self._stage()

    @property
    def kinds(self) -> Mapping[str, ColumnKind]:
        """The kinds of the columns."""
        return self.staged.kinds

    def last_event(self) -> datetime | None:
        """Return the time of the last event among the rows; None for products."""
        if "timestamp" not in self.table.columns:
            return None
        query = "SELECT max(timestamp) FROM staged"
        return aware_utc(self._connection.execute(query).fetchall()[0][0])

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
        if missing := [column for column in self.table.required if column not in types]:
            raise BatchRejected(
                f"{self.name}: missing column {', '.join(missing)}; its columns are "
                f"{', '.join(map(repr, types))}"
            )
        refused = pa.table({_ROW: pa.array(self.staged.refused, pa.int64())})
        self._connection.register("refused_row", refused)
        self._connection.execute(
            f"""CREATE OR REPLACE TEMP VIEW delivered AS
                SELECT * FROM (
                    SELECT * EXCLUDE file_row_number, file_row_number + 1 AS {_ROW}
                    FROM read_parquet({quoted(self.staged.path)},
                                      file_row_number = true, hive_partitioning = false)
                ) {"ANTI JOIN refused_row USING (" + _ROW + ")" if self.staged.refused else ""}"""
        )
        return types

    def _stage(self) -> None:
        casts = column_casts(self._connection, self.staged, self.types)
        self._connection.execute(
            f"""CREATE OR REPLACE TEMP VIEW staged AS
                SELECT {_ROW} AS row_number, {", ".join(casts)} FROM delivered"""
        )

    def count(self) -> int:
        """Count the rows."""
        return int(self._connection.execute("SELECT count(*) FROM delivered").fetchall()[0][0])

    def slices(self) -> Iterator[tuple[np.ndarray, pd.DataFrame]]:
        """Read the rows in the form that the suites check.

        Yields
        ------
        row_numbers : ndarray of int64, shape (n,)
        frame : DataFrame
            Numbers as int64 (float64 if one is NULL), times in UTC. A column of codes is
            represented by its ``_count``, ``_min`` and ``_max``, and whether it is ``_present`` as
            codes or words. A column that may be empty has ``_unreadable``: whether its value
            could not be cast. Columns that may be missing and are missing are left out.
        """
        delivered = [column for column in self.table.fillable if column in self.types]
        parts = [f"{column}_unreadable" for column in delivered]
        amounts = [name for name, kind in self.table.details.items() if kind == "amount"]
        # A product's money is made from its price.
        parts += [name for name in amounts if {"money": "price"}.get(name, name) in delivered]
        for column, kind in self.table.columns.items():
            if column in self.table.optional and column not in delivered:
                continue
            if kind == "time":
                # Great Expectations compares zoned times as columns, but naive ones row by row.
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
        """Create the views ``good`` and ``bad_original`` from row numbers and texts of rules.

        ``good`` is ``staged`` without these rows; ``bad_original`` has them as they were staged:
        ``row_number``, ``file``, ``rule`` and ``original`` (JSON). Row number and file are those of
        the delivery if the staged rows contain them.
        """
        bad = pa.table(
            {_ROW: pa.array(row_numbers, pa.int64()), "rule": pa.array(rules, pa.string())}
        )
        self._connection.register("bad_row", bad)
        number, file = _ROW, quoted(f"{self.table.name}, as staged")
        if {"_file", "_row"} <= self.types.keys():
            number, file = "_row", "parse_filename(_file)"
        elif self.staged.path.name == self.name:  # a Parquet file that needed no staging
            file = quoted(self.name)
        hidden = json.dumps(dict.fromkeys([_ROW, "_row", "_file"]))
        self._connection.execute(
            f"""CREATE OR REPLACE TEMP VIEW good AS
                SELECT * FROM staged ANTI JOIN bad_row ON staged.row_number = bad_row.{_ROW}"""
        )
        # Delivered columns may have any names, so they are packed before the join.
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
        """Return the first bad row as delivered, as JSON; call :meth:`mark_bad` before."""
        rows = self._connection.execute(
            "SELECT original FROM bad_original ORDER BY row_number LIMIT 1"
        ).fetchall()
        return str(rows[0][0])

    def first_value_over_lines(self) -> str | None:
        """Return the first bad row with a line break in a value; call :meth:`mark_bad` before.

        In tables without text such a value comes from two stray quotes in a CSV file.
        """
        if self.table.codes:
            return None
        rows = self._connection.execute(
            """SELECT original FROM bad_original WHERE contains(original::VARCHAR, '\\n')
               ORDER BY row_number LIMIT 1"""
        ).fetchall()
        return str(rows[0][0]) if rows else None


def _slices(reader: pa.RecordBatchReader) -> Iterator[pa.Table]:
    """Combine batches: DuckDB ends one at each row group of a file, however small."""
    waiting, rows = [], 0
    for batch in reader:
        waiting.append(batch)
        rows += len(batch)
        if rows >= SLICE_ROWS:
            yield pa.Table.from_batches(waiting)
            waiting, rows = [], 0
    if waiting:
        yield pa.Table.from_batches(waiting)
