"""From a delivery to the rows of its tables, each in a Parquet file, ready to be checked."""

import hashlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import duckdb

from ubp_platform.errors import BatchRejected, UBPError
from ubp_platform.events.schema import PRODUCTS, TABLES, ColumnKind
from ubp_platform.layouts.description import DROPPED
from ubp_platform.layouts.sandbox import Sandbox, sandbox
from ubp_platform.layouts.source import Delivery
from ubp_platform.warehouse.column_kinds import decide
from ubp_platform.warehouse.scan import RejectedLine, StagedTable


@dataclass(frozen=True)
class DeliveredTable:
    """What a delivery has for one table.

    Parameters
    ----------
    table : str
    name : str
        What messages call it: the file, where there is one; else the table.
    sha256 : str
        Of the contents of its files, of the ``SELECT`` and of views: equal names, equal rows.
    relations : tuple of str
        What it is read from.
    """

    table: str
    name: str
    sha256: str
    relations: tuple[str, ...]


@dataclass(frozen=True)
class Stage:
    """A delivery that is being staged.

    Parameters
    ----------
    delivery : Delivery
    box : Sandbox
    directory : Path
        Gets the Parquet files.
    """

    delivery: Delivery
    box: Sandbox
    directory: Path

    def parts(self) -> list[DeliveredTable]:
        """Name the tables that the delivery has rows for, product properties first.

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
            raise UBPError(f"{self.delivery.source.path}: no table has files to be made of")
        return sorted(found, key=lambda part: part.table != "product_properties")

    def rows(self, part: DeliveredTable) -> StagedTable:
        """Write the rows of a table."""
        path = self._as_it_lies(part)
        if path is None:
            path = self.directory / f"{part.table}.staged.parquet"
            self.box.stage(part.table, path)
        description = self.delivery.layout.description
        return StagedTable(TABLES[part.table], path, part.name, description.time_zone)

    def _as_it_lies(self, part: DeliveredTable) -> Path | None:
        """Name the file that has the rows of a table already: one of Parquet, taken as it is."""
        query = self.delivery.layout.queries[part.table].strip().rstrip(";").split()
        files = [path for name in part.relations for path in self.delivery.files[name]]
        whole = [word.lower() for word in query[:3]] == ["select", "*", "from"] and len(query) == 4
        if not whole or len(part.relations) != 1 or len(files) != 1:
            return None
        kind = self.delivery.layout.relations[part.relations[0]].format_of(files[0])
        return files[0] if kind == "parquet" else None

    def all_rows(
        self,
        connection: duckdb.DuckDBPyConnection,
        parts: list[DeliveredTable],
        known: Mapping[str, ColumnKind],
    ) -> tuple[dict[str, StagedTable], dict[str, list[RejectedLine]]]:
        """Write the rows of tables, and tell what their columns hold.

        Parameters
        ----------
        connection : DuckDBPyConnection
        parts : list of DeliveredTable
        known : mapping of str to str
            What the warehouse's columns hold, by column.

        Returns
        -------
        rows : dict of str to StagedTable
            By table.
        lines : dict of str to list of RejectedLine
            See :meth:`lines`.
        """
        lines = self.lines(parts)
        rows = {part.table: self.rows(part) for part in parts}
        text = self.delivery.layout.description.text_ids
        kinds = decide(connection, [*rows.values()], known, text)
        return {table: replace(one, kinds=kinds) for table, one in rows.items()}, lines

    def dropped(self) -> dict[str, int]:
        """Count the delivered rows that the layout makes no row of, by its reasons, most first."""
        layout = self.delivery.layout
        if DROPPED not in layout.queries or self.box.reads(DROPPED) - self.delivery.files.keys():
            return {}
        return self.box.count(DROPPED)

    def unread(self, rows: Mapping[str, int]) -> Iterator[str]:
        """Say of relations whose rows became fewer events, where the layout gives no reasons.

        Parameters
        ----------
        rows : mapping of str to int
            How many each table has.
        """
        if DROPPED in self.delivery.layout.queries:
            return
        events = {table: self.box.reads(table) for table in rows if table != PRODUCTS.name}
        for name in sorted(set().union(*events.values())):
            read, made = self.box.rows(name), sum(rows[t] for t, of in events.items() if name in of)
            if made < read:
                yield (
                    f"of {read:,} rows of {name} {made:,} became events; {DROPPED}.sql in the "
                    "layout can say why the others did not"
                )

    def lines(self, parts: list[DeliveredTable]) -> dict[str, list[RejectedLine]]:
        """Give the lines that are no rows, by a table that its relation is read for: of events."""
        found: dict[str, list[RejectedLine]] = {part.table: [] for part in parts}
        seen: set[str] = set()
        for part in sorted(parts, key=lambda part: part.table == PRODUCTS.name):
            for name in part.relations:
                if name not in seen:
                    found[part.table] += self.box.rejected_lines(name)
                    seen.add(name)
        return found


@contextmanager
def staging(delivery: Delivery, directory: Path, memory: str) -> Iterator[Stage]:
    """Open a delivery for staging.

    Parameters
    ----------
    delivery : Delivery
    directory : Path
        An existing directory.
    memory : str
        How much DuckDB may take.

    Raises
    ------
    BatchRejected
        If a file cannot be read, or lacks a column that the layout needs.
    """
    for name, files in delivery.files.items():
        kinds = {delivery.layout.relations[name].format_of(path): path for path in files}
        if len(kinds) > 1:
            names = " and ".join(path.name for path in kinds.values())
            raise BatchRejected(
                f"{delivery.source.path} holds {name} twice, as {names}: remove one of them"
            )
    for name, lacking in delivery.absent.items():
        first = delivery.files[name][0]
        columns = delivery.columns(name)
        hint = ""
        if len(columns) == 1 and first.suffix.lower() == ".csv":
            hint = "; values must be separated by commas"
        raise BatchRejected(
            f"{first.name}: missing column {', '.join(lacking)}; its columns are "
            f"{', '.join(map(repr, columns))}{hint}"
        )
    with sandbox(delivery.layout, delivery.source.path, delivery.files, directory, memory) as box:
        yield Stage(delivery, box, directory)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
