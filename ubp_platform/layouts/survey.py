"""Survey undescribed files: which have the same columns, and what the columns seem to hold."""

import re
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

import duckdb

from ubp_platform.errors import UBPError
from ubp_platform.layouts.description import SUFFIXES, Format, Relation, format_of_name
from ubp_platform.layouts.reader import first_line_of, reading, require_content, unreadable
from ubp_platform.layouts.roles import Column, describe_columns, keywords, table_of
from ubp_platform.layouts.source import Source, matches
from ubp_platform.limits import require_lines

# The number of rows of a family that are examined, and of files that they come from.
_ROWS, _FILES = 20_000, 40


@dataclass(frozen=True)
class Family:
    """Files with the same columns.

    Parameters
    ----------
    name : str
        A name for the relation.
    files : tuple of str
        Paths below the source.
    relation : Relation
    columns : tuple of Column
    """

    name: str
    files: tuple[str, ...]
    relation: Relation
    columns: tuple[Column, ...]

    def having(self, role: str) -> Column | None:
        """Return the column with a role, if there is one."""
        return next((column for column in self.columns if column.role == role), None)


def survey(source: Source) -> list[Family]:
    """Group the files of a source by their columns, and examine them.

    Raises
    ------
    UBPError
        If none of them is CSV, NDJSON or Parquet, or one cannot be read.
    """
    groups: dict[tuple[object, ...], list[str]] = {}
    relations: dict[tuple[object, ...], Relation] = {}
    with duckdb.connect(":memory:") as connection:
        connection.execute("SET TimeZone = 'UTC'")
        for below, path in source.files.items():
            kind = format_of_name(below)
            if kind is None:
                continue
            relation = _relation(below, path, kind)
            # A partitioned tree is one family, even if columns were added later.
            columns = () if relation.hive else _read(connection, relation, [path]).columns
            # Purchases and cart additions may be exported with the same columns.
            hint = "" if relation.hive else table_of(_beginning(below))
            key = (kind, relation.delimiter, relation.hive, hint, *columns)
            groups.setdefault(key, []).append(below)
            relations.setdefault(key, relation)
        if not groups:
            raise UBPError(
                f"{source.path} contains no file with a suffix of CSV, NDJSON or Parquet: "
                f"{', '.join([*source.files][:5])}"
            )
        families: list[Family] = []
        for key, files in groups.items():
            taken = [family.name for family in families]
            families.append(_family(connection, source, relations[key], files, taken))
    return families


def _family(
    connection: duckdb.DuckDBPyConnection,
    source: Source,
    relation: Relation,
    files: list[str],
    taken: list[str],
) -> Family:
    """Examine a sample of files with the same columns; ``taken`` are the other families' names."""
    some = files[:: -(-len(files) // _FILES)]
    for below in some:
        if relation.format != "parquet":
            require_lines(source.files[below])
    rows = _read(connection, relation, [source.files[below] for below in some])
    types = dict(zip(rows.columns, map(str, rows.types), strict=True))
    sampled = f"USING SAMPLE reservoir({_ROWS} ROWS) REPEATABLE (0)"
    sample = connection.execute(f"FROM ({rows.sql_query()}) {sampled}").df()
    sample = sample.drop(columns=["_file", "_row"], errors="ignore")
    update: dict[str, object] = {"files": _patterns(files, set(source.files) - set(files))}
    if relation.format == "ndjson":
        update["types"] = {name: _field_type(types[name]) for name in sample.columns}
    return Family(
        name=_distinct(_name(files), [*rows.columns, *taken]),
        files=tuple(files),
        relation=relation.model_copy(update=update),
        columns=tuple(describe_columns(sample, types)),
    )


def _field_type(type_: str) -> str:
    """Return the type as which a field of NDJSON is read: text, unless it is nested."""
    return type_ if "(" in type_ or type_.endswith("]") or type_ == "JSON" else "VARCHAR"


def _relation(below: str, path: Path, kind: Format) -> Relation:
    hive = "=" in below.rpartition("/")[0]
    delimiter = ","
    if kind == "csv":
        require_content([path], Relation(files=[below], format=kind))
        with duckdb.connect(":memory:") as connection:
            header = first_line_of(connection, path)
        delimiter = max(",;\t|", key=lambda sign: header.count(sign))
    return Relation(files=[below], format=kind, delimiter=delimiter, hive=hive)


def _read(
    connection: duckdb.DuckDBPyConnection, relation: Relation, paths: list[Path]
) -> duckdb.DuckDBPyRelation:
    require_content(paths, relation)
    try:
        return connection.sql(reading(connection, relation, paths))
    except duckdb.Error as error:
        raise unreadable(paths, relation, error) from None


def _beginning(file: str) -> str:
    """Return a file's name up to its first number or dot; what follows may be random."""
    return re.split(r"[\d.]", file.rpartition("/")[2])[0]


def _name(files: list[str]) -> str:
    """Return a name for files: the common beginning of their names, or their folder."""
    words = re.sub(r"[^a-z]+", "_", _common(files).lower()).strip("_")
    if words in ("", "part", "data"):
        folder = files[0].rpartition("/")[0].split("/")[0].split("=")[0]
        words = re.sub(r"[^a-z]+", "_", folder.lower()).strip("_")
    return words or "events"


def _distinct(name: str, taken: list[str]) -> str:
    if name in taken or name in keywords():
        name = "events"
    number, first = 2, name
    while name in taken:
        name, number = f"{first}_{number}", number + 1
    return name


def _common(files: list[str]) -> str:
    """Return the common beginning of file names, up to the first dot."""
    stems = [file.rpartition("/")[2].partition(".")[0] for file in files]
    common = stems[0]
    for stem in stems[1:]:
        while not stem.startswith(common):
            common = common[:-1]
    return common


def _patterns(files: list[str], others: Collection[str]) -> list[str]:
    """Return patterns that match these files and later ones of the same kind, but no others."""
    stem = re.sub("[0-9].*$", "", _common(files))
    if len(files) == 1 and stem == _common(files):  # no number, such as a date: no later ones
        return files
    suffix = next(end for ends in SUFFIXES.values() for end in ends if end in files[0].lower())
    names = (one.rpartition("/")[2] for one in files)
    numbered = all(name[len(stem) : len(stem) + 1].isdigit() for name in names)
    pattern = f"**/{stem}{'[0-9]' * numbered}*{suffix}"
    return files if any(matches(other, [pattern]) for other in others) else [pattern]
