"""Delivered files as rows of the warehouse's types: rename and cast, no judgement.

A value that cannot be cast becomes NULL here; that this is not allowed is said by the suites.
"""

import glob
from collections.abc import Iterator
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd
import pyarrow as pa

from ubp_platform.errors import BatchRejected, first_line
from ubp_platform.events.schema import Kind, Table

SLICE_ROWS = 1_000_000
CSV_RULE = "the line has as many values as the header has columns"

INTEGERS = {"TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT"} | {
    "UTINYINT",
    "USMALLINT",
    "UINTEGER",
    "UBIGINT",
    "UHUGEINT",
}
# No file has a column of this name.
_ROW = "_ubp_row"
# DuckDB keeps no more of a rejected line.
_LONGEST_LINE = 10_000
_TIMES = ("TIMESTAMP", "DATE", "VARCHAR")


class Scan:
    """One delivered file, readable any number of times on its own DuckDB connection.

    Parameters
    ----------
    connection : DuckDBPyConnection
        Gets the temporary views ``delivered`` (the file as it is, with ``_ubp_row``, from 1) and
        ``staged`` (the columns of the table, cast).
    path : Path
        A ``.parquet`` or ``.csv`` file.
    table : Table

    Raises
    ------
    BatchRejected
        If the file cannot be read.
    """

    def __init__(self, connection: duckdb.DuckDBPyConnection, path: Path, table: Table) -> None:
        self.path, self.table, self._suffix = path, table, path.suffix.lower()
        self._connection = connection
        self._types = self._open()

    @property
    def columns(self) -> list[str]:
        """The file's own columns."""
        return list(self._types)

    def _open(self) -> dict[str, str]:
        # A directory may be called `shop [new]`; for DuckDB that is a pattern.
        name = glob.escape(str(self.path))
        if not self.path.stat().st_size:
            raise BatchRejected(f"{self.path.name}: the file is empty")
        try:
            if self._suffix == ".parquet":
                relation = self._connection.read_parquet(
                    name, file_row_number=True, hive_partitioning=False
                )
                columns = {
                    column: str(kind)
                    for column, kind in zip(relation.columns, relation.types, strict=True)
                    if column != "file_row_number"
                }
                raw = relation.project(f"* EXCLUDE file_row_number, file_row_number + 1 AS {_ROW}")
            else:
                # store_rejects keeps lines that are no CSV, for the quarantine.
                relation = self._connection.read_csv(
                    name,
                    header=True,
                    delimiter=",",
                    quotechar='"',
                    all_varchar=True,
                    store_rejects=True,
                    rejects_limit=0,
                    hive_partitioning=False,
                )
                columns = dict.fromkeys(relation.columns, "VARCHAR")
                raw = relation.project(f"*, row_number() OVER () AS {_ROW}")
            raw.create_view("delivered", replace=True)
        except duckdb.Error as error:
            kind, said = self._suffix[1:], first_line(error)
            if "sniffing" in said:  # DuckDB does not say why
                said = "lines do not fit the header, or a quote is not closed"
            raise BatchRejected(f"{self.path.name}: not a readable {kind} file: {said}") from None
        return columns

    def stage(self) -> None:
        """Make the view ``staged``; all columns of the table must be there.

        Raises
        ------
        BatchRejected
            If a column's type cannot hold what the table wants.
        """
        casts = []
        for column, kind in self.table.columns.items():
            type_ = self._types[column]
            expression = _cast(f'"{column}"', kind, type_)
            if expression is None:
                wanted = {"whole": "a whole number", "time": "a time", "codes": "a list of codes"}
                raise BatchRejected(
                    f"{self.path.name}: the column {column} is of type {type_} throughout; "
                    f"{wanted[kind]} is expected"
                )
            casts.append(f"{expression} AS {column}")
        self._connection.execute(
            f"""CREATE OR REPLACE TEMP VIEW staged AS
                SELECT {_ROW} AS row_number, {", ".join(casts)} FROM delivered"""
        )

    def count(self) -> int | None:
        """Count the rows where that is cheap; None for CSV."""
        if self._suffix != ".parquet":
            return None
        return int(self._connection.execute("SELECT count(*) FROM delivered").fetchall()[0][0])

    def slices(self) -> Iterator[tuple[np.ndarray, pd.DataFrame]]:
        """Read the file as GX takes it.

        Yields
        ------
        row_numbers : ndarray of int64, shape (n,)
        frame : DataFrame
            Numbers as int64 (float64 where one is NULL), times in UTC; of a column of codes its
            ``_count``, ``_min`` and ``_max``.
        """
        parts = []
        for column, kind in self.table.columns.items():
            if kind == "time":
                # GX compares zoned times as columns, naive ones row by row.
                parts.append(f"timezone('UTC', {column}) AS {column}")
            elif kind == "codes":
                parts.append(f"len({column}) AS {column}_count")
                parts += [
                    f"list_{end}({column})::BIGINT AS {column}_{end}" for end in ("min", "max")
                ]
            else:
                parts.append(column)
        self._forget_rejected_lines()
        try:
            reader = self._connection.sql(
                f"SELECT row_number, {', '.join(parts)} FROM staged"
            ).to_arrow_reader(SLICE_ROWS)
            for table in _slices(reader):
                frame = table.to_pandas()
                yield frame.pop("row_number").to_numpy(), frame
        except (duckdb.Error, pa.ArrowException) as error:
            raise BatchRejected(f"{self.path.name}: cannot be read: {first_line(error)}") from None

    def mark_bad(self, row_numbers: np.ndarray, rules: np.ndarray) -> None:
        """Make the views ``good`` and ``bad_original``.

        ``good`` is ``staged`` without these rows; ``bad_original`` has them as they were delivered:
        ``row_number``, ``rule`` and ``original`` (JSON).

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
        self._connection.execute(
            f"""CREATE OR REPLACE TEMP VIEW good AS
                SELECT * FROM staged ANTI JOIN bad_row ON row_number = {_ROW}"""
        )
        self._connection.execute(
            f"""CREATE OR REPLACE TEMP VIEW bad_original AS
                SELECT {_ROW} AS row_number, rule,
                       json_merge_patch(original, '{{"{_ROW}": null}}') AS original
                FROM (SELECT {_ROW}, to_json(d) AS original
                      FROM (SELECT * FROM delivered SEMI JOIN bad_row USING ({_ROW})) d)
                JOIN bad_row USING ({_ROW})"""
        )

    def first_bad(self) -> str:
        """Give the first bad row as it was delivered, as JSON; call :meth:`mark_bad` before."""
        rows = self._connection.execute(
            "SELECT original FROM bad_original ORDER BY row_number LIMIT 1"
        ).fetchall()
        return str(rows[0][0])

    def rejected_lines(self) -> list[tuple[int, str]]:
        """Give the lines of a CSV file that hold too many or too few values.

        Call it after the slices were read.

        Returns
        -------
        list of (int, str)
            Line number in the file, and the line.

        Raises
        ------
        BatchRejected
            If a quote is not closed: it takes all that follows for one value.
        """
        if self._suffix != ".csv":
            return []
        rows = self._connection.execute(
            """SELECT line, any_value(csv_line), bool_or(error_type = 'UNQUOTED VALUE')
               FROM reject_errors GROUP BY line ORDER BY line"""
        ).fetchall()
        for line, text, unquoted in rows:
            if unquoted or len(text) >= _LONGEST_LINE:
                raise BatchRejected(
                    f"{self.path.name}: line {line}: a quote is not closed, so that it cannot be "
                    f"told what follows: {text[:60]!r}"
                )
        return [(line, text) for line, text, _ in rows]

    def _forget_rejected_lines(self) -> None:
        """Each reading adds to the lines of all readings before; start anew."""
        known = "SELECT count(*) FROM duckdb_tables() WHERE table_name = 'reject_errors'"
        if self._connection.execute(known).fetchall()[0][0]:
            self._connection.execute("DELETE FROM reject_errors")

    def first_value_over_lines(self) -> str | None:
        """Give the first bad row with a value that runs over lines; call `mark_bad` before.

        In a CSV file without codes such a value is what lies between two stray quotes.
        """
        if self._suffix != ".csv" or self.table.codes:
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


def _cast(value: str, kind: Kind, type_: str) -> str | None:
    """Write the cast of a raw column; None where its type cannot hold the kind."""
    number = type_ in INTEGERS or type_ in ("FLOAT", "DOUBLE") or type_.startswith("DECIMAL")
    if kind == "whole":
        if type_ in INTEGERS:
            return f"TRY_CAST({value} AS BIGINT)"
        if number or type_ == "VARCHAR":
            # DuckDB rounds 1.5 to 2; that is not a whole number.
            whole = f"TRY_CAST({value} AS BIGINT)"
            return f"CASE WHEN TRY_CAST({value} AS DOUBLE) = {whole} THEN {whole} END"
        return None
    if kind == "time":
        if type_ == "VARCHAR" or type_.startswith("TIMESTAMPTZ"):
            # A straight cast drops the offset of a text, and makes NULL of zoned nanoseconds.
            value = f"TRY_CAST({value} AS TIMESTAMPTZ)"
        return f"TRY_CAST({value} AS TIMESTAMP)" if type_.startswith(_TIMES) else None
    if type_ == "VARCHAR":
        inner = f"trim({value}, '[] ' || chr(10) || chr(13) || chr(9))"
        value = f"string_split_regex({inner}, '[,\\s]+')"
    elif not type_.endswith("]"):
        return None
    whole = f"TRY_CAST({value} AS INTEGER[])"
    # A code that is no whole number makes the list one that cannot be read.
    complete = f"list_count({whole}) = len({whole})"
    if not any(type_.startswith(f"{integer}[") for integer in INTEGERS):
        complete += f" AND TRY_CAST({value} AS DOUBLE[]) = {whole}"
    return f"CASE WHEN {complete} THEN {whole} END"
