"""Stage a delivery: write the rows of each table to a Parquet file, ready to be checked."""

import hashlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

import duckdb

from ubp_platform.errors import BatchRejected, UBPError
from ubp_platform.events.schema import PRODUCTS, TABLES, ColumnKind
from ubp_platform.layouts.description import COMPLETE_UNTIL, DROPPED
from ubp_platform.layouts.sandbox import Sandbox, sandbox
from ubp_platform.layouts.source import Delivery
from ubp_platform.warehouse.column_kinds import decide
from ubp_platform.warehouse.staged import RejectedLine, StagedTable


@dataclass(frozen=True)
class DeliveredTable:
    """One table of a delivery, before staging.

    Parameters
    ----------
    table : str
    name : str
        The name used in messages: the source file, if there is only one, or the table.
    sha256 : str
        Of the contents of its files, the ``SELECT`` and all views: equal hash, equal rows.
    relations : tuple of str
        The relations that it is read from.
    """

    table: str
    name: str
    sha256: str
    relations: tuple[str, ...]


@dataclass(frozen=True)
class StagingArea:
    """A delivery that is being staged into Parquet files in a directory."""

    delivery: Delivery
    box: Sandbox
    directory: Path

    def tables(self) -> list[DeliveredTable]:
        """Return the tables that the delivery has files for, product properties first.

        Raises
        ------
        UBPError
            If there are none.
        """
        digests = {
            name: [_sha256(path) for path in files] for name, files in self.delivery.files.items()
        }
        found = []
        for table in self.delivery.layout.tables:
            query = self.delivery.layout.queries[table]
            relations = tuple(sorted(self.box.reads(table)))
            if not all(name in digests for name in relations):
                continue
            files = [path for name in relations for path in self.delivery.files[name]]
            known = [
                query,
                *self.delivery.layout.views.values(),
                *(digest for name in relations for digest in digests[name]),
            ]
            sha256 = hashlib.sha256("\n".join(known).encode()).hexdigest()
            name = files[0].name if len(files) == 1 else table
            found.append(DeliveredTable(table, name, sha256, relations))
        if not found:
            raise UBPError(f"{self.delivery.source.path}: no table has all the files that it needs")
        return sorted(found, key=lambda one: one.table != PRODUCTS.name)

    def stage(self, delivered: DeliveredTable) -> StagedTable:
        """Write the rows of a table, unless a file contains them as they are."""
        path = self._unchanged_file(delivered)
        if path is None:
            path = self.directory / f"{delivered.table}.staged.parquet"
            self.box.stage(delivered.table, path)
        zone = self.delivery.layout.description.time_zone
        return StagedTable(TABLES[delivered.table], path, delivered.name, zone)

    def _unchanged_file(self, delivered: DeliveredTable) -> Path | None:
        """Return the only file of a table if it is Parquet and all of it is selected."""
        query = self.delivery.layout.queries[delivered.table].strip().rstrip(";").lower().split()
        files = [path for name in delivered.relations for path in self.delivery.files[name]]
        selects_all = query[:3] == ["select", "*", "from"] and len(query) == 4
        if not selects_all or len(delivered.relations) != 1 or len(files) != 1:
            return None
        kind = self.delivery.layout.relations[delivered.relations[0]].format_of(files[0])
        return files[0] if kind == "parquet" else None

    def stage_all(
        self,
        connection: duckdb.DuckDBPyConnection,
        tables: list[DeliveredTable],
        known: Mapping[str, ColumnKind],
    ) -> dict[str, StagedTable]:
        """Write the rows of tables, and decide those kinds of their columns that are not known."""
        lines = self.rejected_lines(tables)
        staged = {one.table: self.stage(one) for one in tables}
        for one in tables:
            self.box.notes += self._unselected_times(connection, one, staged[one.table])
        text = self.delivery.layout.description.text_ids
        kinds = decide(connection, [*staged.values()], known, text)
        return {
            table: replace(one, kinds=kinds, lines=lines[table]) for table, one in staged.items()
        }

    def _unselected_times(
        self, connection: duckdb.DuckDBPyConnection, delivered: DeliveredTable, staged: StagedTable
    ) -> Iterator[str]:
        """Report delivered columns that say when a row became known, or holds, and get lost."""
        selected = {name.lower() for name in connection.read_parquet(str(staged.path)).columns}
        times = {name for name, kind in staged.table.details.items() if kind == "moment"}
        given = {name.lower() for one in delivered.relations for name in self.delivery.columns(one)}
        for name in sorted((times & given) - selected):
            yield (
                f"{delivered.table}: the files have a column {name}, and the layout's "
                f"{delivered.table}.sql does not select it"
            )

    def dropped(self) -> dict[str, int]:
        """Count the delivered rows that the layout drops by reason, most frequent first."""
        return self.box.count(DROPPED) if self._has_files_of(DROPPED) else {}

    def complete_until(self) -> datetime | None:
        """Return up to when the log is complete with the delivery, if the layout can say so."""
        if not self._has_files_of(COMPLETE_UNTIL):
            return None
        return self.box.time(COMPLETE_UNTIL, self.delivery.layout.description.time_zone)

    def _has_files_of(self, query: str) -> bool:
        """Whether the layout has a query, and the delivery all files that it reads."""
        if query not in self.delivery.layout.queries:
            return False
        return self.box.reads(query) <= self.delivery.files.keys()

    def unread(self, rows: Mapping[str, int]) -> Iterator[str]:
        """Report relations with fewer events than rows, if the layout gives no reasons for them."""
        if DROPPED in self.delivery.layout.queries:
            return
        events = {table: self.box.reads(table) for table in rows if table != PRODUCTS.name}
        for name in sorted(set().union(*events.values())):
            read, made = self.box.rows(name), sum(rows[t] for t, of in events.items() if name in of)
            if made < read:
                yield (
                    f"{made:,} of {read:,} rows of {name} became events; {DROPPED}.sql in the "
                    "layout can give reasons for the others"
                )

    def rejected_lines(self, tables: list[DeliveredTable]) -> dict[str, list[RejectedLine]]:
        """Return the rejected lines by table; each counts once, for events rather than products."""
        lines: dict[str, list[RejectedLine]] = {one.table: [] for one in tables}
        seen: set[str] = set()
        for one in sorted(tables, key=lambda one: one.table == PRODUCTS.name):
            for name in one.relations:
                if name not in seen:
                    lines[one.table] += self.box.rejected_lines(name)
                    seen.add(name)
        return lines


@contextmanager
def staging(delivery: Delivery, directory: Path) -> Iterator[StagingArea]:
    """Open a delivery for staging in an existing directory.

    Raises
    ------
    BatchRejected
        If a file cannot be read, lacks a column that the layout requires, or was changed.
    """
    try:
        _require_readable(delivery)
        with sandbox(delivery.layout, delivery.source.path, delivery.files, directory) as box:
            yield StagingArea(delivery, box, directory)
    except Exception:
        # What failed is then a consequence.
        delivery.require_unchanged()
        raise


def _require_readable(delivery: Delivery) -> None:
    """Refuse two formats of one relation, and files without a required column."""
    for name, files in delivery.files.items():
        kinds = {delivery.layout.relations[name].format_of(path): path for path in files}
        if len(kinds) > 1:
            names = " and ".join(path.name for path in kinds.values())
            raise BatchRejected(
                f"{delivery.source.path} holds {name} twice, as {names}: remove one of them"
            )
    for name, missing in delivery.absent.items():
        first = delivery.files[name][0]
        columns = delivery.columns(name)
        hint = ""
        if len(columns) == 1 and first.suffix.lower() == ".csv":
            hint = "; values must be separated by commas"
        raise BatchRejected(
            f"{first.name}: missing column {', '.join(missing)}; its columns are "
            f"{', '.join(map(repr, columns))}{hint}"
        )


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
