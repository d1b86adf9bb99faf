"""Running a layout's SQL where it can do no harm.

It runs in a DuckDB of its own, in memory, that may read the source and the layout, write nowhere
but into the staging directory, load nothing, and change no setting.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

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
from ubp_platform.warehouse.casts import quoted
from ubp_platform.warehouse.connection import INGEST_SHARE, configure
from ubp_platform.warehouse.scan import RejectedLine

# DuckDB keeps no more of a rejected line.
_LONGEST_LINE = 10_000


class Sandbox:
    """A locked DuckDB over the relations of a layout.

    Parquet is read where it lies; what must be parsed is parsed once, and kept as Parquet.

    Parameters
    ----------
    connection : DuckDBPyConnection
    layout : Layout
    files : mapping of str to sequence of Path
        The files of each relation that is there.
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
        self._made: set[str] = set()
        #: What a user should know of the files.
        self.notes: list[str] = []
        self._files = {name: {path.resolve() for path in paths} for name, paths in files.items()}
        for name, paths in files.items():
            self._open(name, paths)

    def _open(self, name: str, paths: Sequence[Path]) -> None:
        relation = self._layout.relations[name]
        require_content(paths, relation.encoding)
        formats = {relation.format_of(path) for path in paths}
        if "ndjson" in formats and not relation.types:
            raise UBPError(
                f"{self._layout.directory / DESCRIPTION}: relation.{name}: say the types of the "
                'fields that are read, as types = {user_id = "VARCHAR"}: guessed, an id may '
                "become another"
            )
        try:
            self.notes += require_columns(relation, columns_of(self._connection, relation, paths))
            query = reading(self._connection, relation, paths)
            if formats != {"parquet"}:
                parsed = self._staging / f"{name}.relation.parquet"
                numbered = f"SELECT *, row_number() OVER () AS _row FROM ({query})"
                self._connection.sql(numbered).write_parquet(str(parsed))
                query = f"FROM read_parquet({quoted(parsed)})"
                if len(paths) > 1:  # numbers are of the file, not of all of them
                    firsts = f"SELECT _file, min(_row) AS _first {query} GROUP BY _file"
                    query = (
                        f"SELECT * EXCLUDE (_first) REPLACE (_row - _first + 1 AS _row) {query} "
                        f"JOIN ({firsts}) USING (_file)"
                    )
                query = self._counting_rejected(name, query)
            self._connection.execute(f'CREATE VIEW "{name}" AS {query}')
        except duckdb.Error as error:
            raise unreadable(paths, relation, error) from None

    def _has_rejected(self) -> bool:
        query = "SELECT count(*) FROM duckdb_tables() WHERE table_name = 'reject_errors'"
        return bool(self._connection.execute(query).fetchall()[0][0])

    def _counting_rejected(self, name: str, query: str) -> str:
        """Let rows be numbered as they stand in their file, with the lines that are no rows."""
        if not self._has_rejected():
            return query
        self._connection.execute(
            f"""CREATE OR REPLACE TEMP TABLE "{name}_shift" AS
                SELECT file_path AS _file, row - row_number() OVER (
                           PARTITION BY file_path ORDER BY row) AS after
                FROM (SELECT DISTINCT file_path, line - {self._above(name)} AS row
                      FROM reject_errors JOIN reject_scans USING (scan_id, file_id))"""
        )
        return (
            f'SELECT * REPLACE (_row + (SELECT count(*) FROM "{name}_shift" shift WHERE '
            f"shift._file = rows._file AND shift.after < rows._row) AS _row) FROM ({query}) rows"
        )

    def rejected_lines(self, name: str) -> list[RejectedLine]:
        """Give the lines of a relation's CSV files that hold too many or too few values.

        Raises
        ------
        BatchRejected
            If a quote is not closed: it takes all that follows for one value.
        """
        if not self._has_rejected():
            return []
        rows = self._connection.execute(
            """SELECT file_path, line, any_value(csv_line), bool_or(error_type = 'UNQUOTED VALUE')
               FROM reject_errors JOIN reject_scans USING (scan_id, file_id)
               GROUP BY ALL ORDER BY ALL"""
        ).fetchall()
        found = []
        for file, line, text, unquoted in rows:
            path = Path(file)
            if path not in self._files[name]:
                continue
            if unquoted or len(text) >= _LONGEST_LINE:
                raise BatchRejected(
                    f"{path.name}: line {line}: a quote is not closed, so that it cannot be "
                    f"told what follows: {text[:60]!r}"
                )
            found.append(RejectedLine(path.name, line, text, line - self._above(name)))
        return found

    def _above(self, name: str) -> int:
        """Count the lines above the first row of a relation's CSV files."""
        relation = self._layout.relations[name]
        return relation.skip + (not relation.names)

    def reads(self, table: str) -> set[str]:
        """Name the relations that a table's ``SELECT`` reads, itself or through views.

        Raises
        ------
        UBPError
            If it is not one ``SELECT``.
        """
        query = self._layout.queries[table]
        names = self._names(table, query)
        for view in self._views(table, query):
            names |= self._names(f"{VIEW}{view}", self._layout.views[view])
        return names & self._layout.relations.keys()

    def _views(self, script: str, text: str, within: tuple[str, ...] = ()) -> list[str]:
        """List the views that a script reads, itself or through others; those read come first.

        Raises
        ------
        UBPError
            If views read each other in a circle.
        """
        found: dict[str, None] = {}
        for name in sorted(self._names(script, text) & self._layout.views.keys()):
            if name in within:
                circle = " → ".join(f"{VIEW}{view}" for view in (*within, name))
                raise UBPError(
                    f"{self._layout.directory / script}.sql: views read each other: {circle}"
                )
            read = self._views(f"{VIEW}{name}", self._layout.views[name], (*within, name))
            found |= dict.fromkeys([*read, name])
        return [*found]

    def _names(self, script: str, text: str) -> set[str]:
        """Name what a script selects from; insist that it is one ``SELECT``."""
        (serialized,) = self._connection.execute(
            "SELECT json_serialize_sql($text)", {"text": text}
        ).fetchall()[0]
        tree = json.loads(serialized)
        path = self._layout.directory / f"{script}.sql"
        if tree.get("error"):
            kind, said = tree.get("error_type", ""), tree.get("error_message", "")
            if kind == "not implemented":
                raise UBPError(f"{path}: one SELECT is allowed, and nothing else")
            line = text[: int(tree.get("position", 0) or 0)].count("\n") + 1
            raise UBPError(f"{path}, line {line}: {first_line(Exception(said))}")
        if len(tree["statements"]) != 1:
            raise UBPError(
                f"{path}: one SELECT is allowed, not {len(tree['statements'])} statements"
            )
        return set(_tables(tree))

    def _make_views(self, query: str) -> None:
        """Compute the views that a query reads, each once."""
        for name in self._views(query, self._layout.queries[query]):
            if name in self._made:
                continue
            path = self._staging / f"{name}.view.parquet"
            self._write(f"{VIEW}{name}", self._layout.views[name], path)
            self._connection.execute(f'CREATE VIEW "{name}" AS FROM read_parquet({quoted(path)})')
            self._made.add(name)

    def count(self, query: str) -> dict[str, int]:
        """Count the rows of a query by the value of its first column, most first.

        Raises
        ------
        UBPError
            If DuckDB refuses it.
        """
        self._make_views(query)
        text = self._layout.queries[query].strip().rstrip(";")
        try:
            rows = self._connection.execute(
                f"""SELECT reason, count(*) FROM (\n{text}\n) AS dropped(reason)
                    GROUP BY reason ORDER BY count(*) DESC, reason"""
            ).fetchall()
        except duckdb.Error as error:
            script = self._layout.directory / f"{query}.sql"
            raise UBPError(f"{script}{_with_line(error)}") from None
        return {str(reason): count for reason, count in rows}

    def stage(self, table: str, path: Path) -> None:
        """Write what a table's ``SELECT`` gives into a Parquet file.

        Raises
        ------
        UBPError
            If DuckDB refuses it; the message is DuckDB's, with the layout's file.
        """
        self._make_views(table)
        self._write(table, self._layout.queries[table], path)

    def _write(self, script: str, text: str, path: Path) -> None:
        select = text.strip().rstrip(";")
        try:
            # `_names` has made sure that it is one SELECT. It begins in the second line.
            self._connection.execute(f"COPY (\n{select}\n) TO {quoted(path)} (FORMAT parquet)")
        except duckdb.Error as error:
            where = self._layout.directory / f"{script}.sql"
            raise UBPError(f"{where}{_with_line(error)}{_way_out(error)}") from None

    def rows(self, relation: str) -> int:
        """Count the rows of a relation."""
        query = f'SELECT count(*) FROM "{relation}"'
        return int(self._connection.execute(query).fetchall()[0][0])


def _way_out(error: duckdb.Error) -> str:
    """Say how a value that cannot be read becomes one bad row."""
    if not isinstance(error, duckdb.ConversionException | duckdb.InvalidInputException):
        return ""
    return (
        "; try_strptime in the place of strptime, and TRY_CAST in that of CAST, make it empty, and "
        "its row goes to the quarantine"
    )


def _tables(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        if node.get("type") == "BASE_TABLE":
            yield node["table_name"]
        for value in node.values():
            yield from _tables(value)
    elif isinstance(node, list):
        for value in node:
            yield from _tables(value)


def _with_line(error: duckdb.Error) -> str:
    """Give DuckDB's message with the line of the statement that it points at."""
    said = str(error)
    pointed = next((line for line in said.splitlines() if line.startswith("LINE ")), "")
    if not pointed:
        return f": {first_line(error)}"
    line = int(pointed.removeprefix("LINE ").partition(":")[0]) - 1
    return f", line {line}: {first_line(error)}"


@contextmanager
def sandbox(
    layout: Layout, source: Path, files: Mapping[str, Sequence[Path]], staging: Path
) -> Iterator[Sandbox]:
    """Open a sandbox.

    Parameters
    ----------
    layout : Layout
    source : Path
        What may be read, beside the layout.
    files : dict of str to list of Path
        Of each relation that is there.
    staging : Path
        An existing directory: what may be written.
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
