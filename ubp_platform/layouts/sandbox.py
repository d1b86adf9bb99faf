"""Run a layout's SQL where it can do no harm.

It runs in a DuckDB database of its own, in memory, that can read the source and the layout, write
only into the staging directory, load nothing, and change no setting.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import duckdb

from ubp_platform.errors import BatchRejected, UBPError, first_line
from ubp_platform.layouts.description import DESCRIPTION, VIEW, Layout
from ubp_platform.layouts.macros import MACROS
from ubp_platform.layouts.reader import (
    columns_of,
    reading,
    require_columns,
    require_content,
    unreadable,
)
from ubp_platform.layouts.scripts import Scripts
from ubp_platform.limits import require_lines
from ubp_platform.warehouse.casts import quoted, time_of
from ubp_platform.warehouse.connection import INGEST_SHARE, configure
from ubp_platform.warehouse.staged import RejectedLine

# DuckDB keeps no more than this of a rejected line.
_LONGEST_LINE = 10_000


class Sandbox:
    """A locked DuckDB database with the relations of a layout.

    Parquet files are read in place; other files are parsed once and kept as Parquet.

    Parameters
    ----------
    connection : DuckDBPyConnection
    layout : Layout
    files : mapping of str to sequence of Path
        The files of each relation that has some.
    staging : Path
        An existing directory.
    """

    def __init__(
        self,
        connection: duckdb.DuckDBPyConnection,
        layout: Layout,
        files: Mapping[str, Sequence[Path]],
        staging: Path,
    ) -> None:
        self._connection, self._layout, self._staging = connection, layout, staging
        self._scripts = Scripts(connection, layout)
        self._created: set[str] = set()
        #: Messages for the user about the files.
        self.notes: list[str] = []
        self._files = {name: {path.resolve() for path in paths} for name, paths in files.items()}
        for name, paths in files.items():
            self._open(name, paths)

    def _open(self, name: str, paths: Sequence[Path]) -> None:
        relation = self._layout.relations[name]
        require_content(paths, relation)
        for path in paths:
            if relation.format_of(path) != "parquet":
                require_lines(path)
        formats = {relation.format_of(path) for path in paths}
        if "ndjson" in formats and not relation.types:
            raise UBPError(
                f"{self._layout.directory / DESCRIPTION}: relation.{name}: list the types of the "
                'fields to read, such as types = {user_id = "VARCHAR"}: a guessed type may change '
                "an id"
            )
        try:
            self.notes += require_columns(relation, columns_of(self._connection, relation, paths))
            query = reading(self._connection, relation, paths)
            if formats != {"parquet"}:
                query = self._parse(name, query, several=len(paths) > 1)
            self._connection.execute(f'CREATE VIEW "{name}" AS {query}')
        except duckdb.Error as error:
            raise unreadable(paths, relation, error) from None

    def _parse(self, name: str, query: str, several: bool) -> str:
        """Write the rows of a relation to Parquet, and return the query that reads them.

        ``_row`` numbers the rows of each file, counting rejected lines.
        """
        parsed = self._staging / f"{name}.relation.parquet"
        numbered = f"SELECT *, row_number() OVER () AS _row FROM ({query})"
        self._connection.sql(numbered).write_parquet(str(parsed))
        query = f"FROM read_parquet({quoted(parsed)})"
        if several:
            firsts = f"SELECT _file, min(_row) AS _first {query} GROUP BY _file"
            query = (
                f"SELECT * EXCLUDE (_first) REPLACE (_row - _first + 1 AS _row) {query} "
                f"JOIN ({firsts}) USING (_file)"
            )
        if not self._rejected(name):
            return query
        files = ", ".join(quoted(path) for path in self._files[name])
        self._connection.execute(
            f"""CREATE OR REPLACE TEMP TABLE "{name}_shift" AS
                SELECT file_path AS _file, row - row_number() OVER (
                           PARTITION BY file_path ORDER BY row) AS after
                FROM (SELECT DISTINCT file_path, line - {self._above(name)} AS row
                      FROM reject_errors JOIN reject_scans USING (scan_id, file_id)
                      WHERE file_path IN ({files}))"""
        )
        return (
            f'SELECT * REPLACE (_row + (SELECT count(*) FROM "{name}_shift" shift WHERE '
            f"shift._file = rows._file AND shift.after < rows._row) AS _row) FROM ({query}) rows"
        )

    def _rejected(self, name: str) -> list[tuple[str, int, str, bool]]:
        """Return file, line, text and "a quote is not closed" of a relation's rejected lines."""
        query = "SELECT count(*) FROM duckdb_tables() WHERE table_name = 'reject_errors'"
        if not self._connection.execute(query).fetchall()[0][0]:
            return []
        rows = self._connection.execute(
            """SELECT file_path, line, any_value(csv_line), bool_or(error_type = 'UNQUOTED VALUE')
               FROM reject_errors JOIN reject_scans USING (scan_id, file_id)
               GROUP BY ALL ORDER BY ALL"""
        ).fetchall()
        return [row for row in rows if Path(row[0]) in self._files[name]]

    def rejected_lines(self, name: str) -> list[RejectedLine]:
        """Return the lines of a relation's CSV files that have too many or too few values.

        Raises
        ------
        BatchRejected
            If a quote is not closed, because everything after it counts as one value.
        """
        lines = []
        for file, line, text, unquoted in self._rejected(name):
            path = Path(file)
            if unquoted or len(text) >= _LONGEST_LINE:
                raise BatchRejected(
                    f"{path.name}: line {line}: a quote is not closed, so that the rest of the "
                    f"file cannot be read: {text[:60]!r}"
                )
            lines.append(RejectedLine(path.name, line, text, line - self._above(name)))
        return lines

    def _above(self, name: str) -> int:
        """Count the lines above the first row of a relation's CSV files."""
        relation = self._layout.relations[name]
        return relation.skip + (not relation.names)

    def reads(self, query: str) -> set[str]:
        """Return the relations that a query of the layout reads, directly or through views."""
        return self._scripts.relations(query)

    def count(self, query: str) -> dict[str, int]:
        """Count the rows of a query by the value of its first column, most frequent first."""
        self._create_views(query)
        text = self._layout.queries[query].strip().rstrip(";")
        try:
            rows = self._connection.execute(
                f"""SELECT reason, count(*) FROM (\n{text}\n) AS dropped(reason)
                    GROUP BY reason ORDER BY count(*) DESC, reason"""
            ).fetchall()
        except duckdb.Error as error:
            raise UBPError(f"{self._scripts.path(query)}{_with_line(error)}") from None
        return {str(reason): count for reason, count in rows}

    def time(self, query: str, zone: str | None) -> datetime:
        """Return the time that a query returns, in UTC.

        Parameters
        ----------
        query : str
        zone : str, optional
            Of a time that names none.

        Raises
        ------
        UBPError
            If it returns anything but one time.
        """
        self._create_views(query)
        text = self._layout.queries[query].strip().rstrip(";")
        path = self._scripts.path(query)
        try:
            columns = self._connection.execute(f"DESCRIBE FROM (\n{text}\n)").fetchall()
            cast = time_of("value", columns[0][1], zone)
            rows = self._connection.execute(
                f"SELECT {cast or 'NULL'}, value FROM (\n{text}\n) AS one(value) LIMIT 2"
            ).fetchall()
        except duckdb.Error as error:
            raise UBPError(f"{path}{_with_line(error)}") from None
        if len(columns) != 1 or len(rows) != 1 or rows[0][1] is None:
            raise UBPError(f"{path}: one row with one time is needed")
        ((time, shown),) = rows
        if time is None:
            raise UBPError(
                f"{path}: {shown!r} is not a time with a zone; time_zone in {DESCRIPTION} is the "
                "zone of times that name none"
            )
        return time.replace(tzinfo=UTC)

    def stage(self, table: str, path: Path) -> None:
        """Write the result of a table's ``SELECT`` to a Parquet file; errors name the script."""
        self._create_views(table)
        self._write(table, self._layout.queries[table], path)

    def rows(self, relation: str) -> int:
        """Count the rows of a relation."""
        query = f'SELECT count(*) FROM "{relation}"'
        return int(self._connection.execute(query).fetchall()[0][0])

    def _create_views(self, query: str) -> None:
        """Compute the views that a query reads, each once."""
        for name in self._scripts.views(query, self._layout.queries[query]):
            if name not in self._created:
                path = self._staging / f"{name}.view.parquet"
                self._write(f"{VIEW}{name}", self._layout.views[name], path)
                self._connection.execute(
                    f'CREATE VIEW "{name}" AS FROM read_parquet({quoted(path)})'
                )
                self._created.add(name)

    def _write(self, script: str, text: str, path: Path) -> None:
        select = text.strip().rstrip(";")
        try:
            # `Scripts` has checked that it is one SELECT. It begins in the second line.
            self._connection.execute(f"COPY (\n{select}\n) TO {quoted(path)} (FORMAT parquet)")
        except duckdb.Error as error:
            where = f"{self._scripts.path(script)}{_with_line(error)}"
            raise UBPError(f"{where}{_way_out(error)}") from None


def _way_out(error: duckdb.Error) -> str:
    """Return how an unreadable value can become one bad row."""
    if not isinstance(error, duckdb.ConversionException | duckdb.InvalidInputException):
        return ""
    return (
        "; with try_strptime instead of strptime, and TRY_CAST instead of CAST, the value is empty "
        "and its row goes to the quarantine"
    )


def _with_line(error: duckdb.Error) -> str:
    """Return DuckDB's message with the line of the statement that it points at."""
    lines = str(error).splitlines()
    pointed = next((line for line in lines if line.startswith("LINE ")), "")
    if not pointed:
        return f": {first_line(error)}"
    line = int(pointed.removeprefix("LINE ").partition(":")[0]) - 1
    return f", line {line}: {first_line(error)}"


@contextmanager
def sandbox(
    layout: Layout, source: Path, files: Mapping[str, Sequence[Path]], staging: Path
) -> Iterator[Sandbox]:
    """Open a sandbox.

    It can read the source and the layout, and write into ``staging``, an existing directory.
    """
    with duckdb.connect(":memory:") as connection:
        configure(connection, INGEST_SHARE)
        connection.execute(f"SET temp_directory = {quoted(staging / 'spilled')}")
        for macro in MACROS:
            connection.execute(macro)
        allowed = [source.parent if source.is_file() else source, layout.directory, staging]
        listed = ", ".join(quoted(path.resolve()) for path in allowed)
        connection.execute(f"SET allowed_directories = [{listed}]")
        connection.execute("SET enable_external_access = false")
        connection.execute("SET lock_configuration = true")
        yield Sandbox(connection, layout, files, staging)
