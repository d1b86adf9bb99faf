"""The SQL that reads the files of a relation.

Nothing is guessed: a comment sign, a type or a null found by a reader costs rows or ids.
"""

import codecs
import csv
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import duckdb

from ubp_platform.errors import BatchRejected, first_line
from ubp_platform.layouts.description import Encoding, Relation
from ubp_platform.warehouse.casts import quoted

_FIRST_LINE = """
    SELECT line FROM read_csv({file}, columns = {{'line': 'VARCHAR'}}, auto_detect = false,
                              header = false, delim = chr(7), quote = '', escape = '',
                              comment = '', skip = {skip}, encoding = {encoding}) LIMIT 1"""


def reading(
    connection: duckdb.DuckDBPyConnection, relation: Relation, paths: Sequence[Path]
) -> str:
    """Write the ``SELECT`` that reads files; columns go together by name.

    The column ``_file`` names the file of a row, in Parquet ``_row`` its number, from 1.

    Parameters
    ----------
    connection : DuckDBPyConnection
        Reads the headers of CSV files.
    relation : Relation
    paths : sequence of Path
    """
    # DuckDB matches the columns of several CSV files by name or keeps broken lines, not both.
    groups: dict[tuple[str, ...], list[Path]] = {}
    for path in paths:
        kind = relation.format_of(path)
        header = _header(connection, relation, path) if kind == "csv" else []
        groups.setdefault((kind, *header), []).append(path)
    if parquet := [
        path for (kind, *_), group in groups.items() for path in group if kind == "parquet"
    ]:
        _require_alike(connection, parquet)
    return " UNION ALL BY NAME ".join(
        _select(relation, kind, group, header) for (kind, *header), group in groups.items()
    )


def columns_of(
    connection: duckdb.DuckDBPyConnection, relation: Relation, paths: Sequence[Path]
) -> dict[Path, list[str]]:
    """Name the columns of each CSV and Parquet file, as the file has them.

    Parameters
    ----------
    connection : DuckDBPyConnection
    relation : Relation
    paths : sequence of Path
    """
    found = {}
    for path in paths:
        kind = relation.format_of(path)
        if kind == "csv" and not relation.names:
            found[path] = _header(connection, relation, path)
        elif kind == "parquet":
            found[path] = connection.read_parquet(str(path)).columns
    return found


def require_columns(relation: Relation, columns: Mapping[Path, Sequence[str]]) -> Iterator[str]:
    """Insist that each file has the columns by which a relation is recognised.

    Parameters
    ----------
    relation : Relation
    columns : mapping of Path to sequence of str
        Of each file.

    Yields
    ------
    str
        What is said of columns that some files have and others have not.

    Raises
    ------
    BatchRejected
        If a file lacks one.
    """
    lower = {path: {name.lower() for name in names} for path, names in columns.items()}
    for path, there in lower.items():
        if lacking := [name for name in relation.columns if name.lower() not in there]:
            if relation.hive:
                continue  # it may be the name of a folder
            hint = ""
            if len(there) == 1 and relation.format_of(path) == "csv":
                hint = f"; is {relation.delimiter!r} what parts them? A layout says `delimiter`"
            raise BatchRejected(
                f"{path.name}: missing column {', '.join(lacking)}; its columns are "
                f"{', '.join(map(repr, columns[path]))}{hint}; if it is no such file, let `files` "
                "of the layout leave it out"
            )
    for name in sorted(set().union(*lower.values())):
        without = [path.name for path, there in lower.items() if name not in there]
        if without:
            more = f" and {len(without) - 3:,} more" if len(without) > 3 else ""
            yield (
                f"no column {name!r} in {', '.join(without[:3])}{more}, which other files have: it "
                "is empty there"
            )


def _require_alike(connection: duckdb.DuckDBPyConnection, paths: Sequence[Path]) -> None:
    """Refuse Parquet files that cannot go together without a value becoming another.

    Raises
    ------
    BatchRejected
        If a column has a zone in one file and none in another, or floating-point numbers of two
        sizes, or if two columns of a file have one name.
    """
    listed = "[" + ", ".join(quoted(path.resolve()) for path in paths) + "]"
    rows = connection.sql(
        f"""WITH leaf AS (
                SELECT parse_filename(file_name) AS file, lower(name) AS field,
                       CASE WHEN logical_type LIKE '%isAdjustedToUTC=1%' THEN 'times with a zone'
                            WHEN logical_type LIKE '%isAdjustedToUTC=0%' THEN 'times without'
                            WHEN type IN ('FLOAT', 'DOUBLE') THEN type END AS form
                FROM parquet_schema({listed}) WHERE num_children IS NULL)
            SELECT field, min_by(file, form), min(form), max_by(file, form), max(form) FROM leaf
            GROUP BY field HAVING count(DISTINCT form) > 1 ORDER BY field LIMIT 1"""
    ).fetchall()
    for column, one, form, other, another in rows:
        raise BatchRejected(
            f"the column {column} has {form} in {one} and {another} in {other}: deliver them "
            "apart, or alike"
        )
    twice = connection.sql(
        f"""SELECT parse_filename(file_name), min(name), max(name) FROM parquet_schema({listed})
            WHERE num_children IS NULL GROUP BY file_name, lower(name)
            HAVING count(DISTINCT name) > 1 LIMIT 1"""
    ).fetchall()
    for file, one, other in twice:
        raise BatchRejected(f"{file}: the columns {one!r} and {other!r} are of one name")


def _header(connection: duckdb.DuckDBPyConnection, relation: Relation, path: Path) -> list[str]:
    """Read the names of a CSV file's columns, without blanks around them; none where it has none.

    Raises
    ------
    BatchRejected
        If two are alike: it cannot be told which is meant.
    """
    if relation.names:
        return []
    line = first_line_of(connection, path, relation.skip, relation.encoding)
    if not line.strip():
        raise BatchRejected(
            f"{path.name}: the line where the header should be is blank: remove it, or say "
            f"`skip = {relation.skip + 1}` in a layout of your own"
        )
    quote = {"quotechar": relation.quote} if relation.quote else {"quoting": csv.QUOTE_NONE}
    found = next(csv.reader([line], delimiter=relation.delimiter, **quote), [])
    found = [name.strip() for name in found]
    names = [name or f"column{number}" for number, name in enumerate(found)]
    if re.fullmatch("sep=.", line.strip().lower()):
        raise BatchRejected(
            f"{path.name}: its first line is {line.strip()!r}, of a spreadsheet: remove it, or say "
            "`skip = 1` in a layout of your own"
        )
    lower = [name.lower() for name in names]
    if twice := [name for name in names if lower.count(name.lower()) > 1]:
        raise BatchRejected(f"{path.name}: two columns are called {twice[0]!r}: rename one of them")
    if taken := sorted({*lower} & {"_file", "_row"}):
        raise BatchRejected(f"{path.name}: the column {taken[0]} is called as one of ours is")
    return names


def first_line_of(
    connection: duckdb.DuckDBPyConnection, path: Path, skip: int = 0, encoding: Encoding = "utf-8"
) -> str:
    """Give the first line of a text file, packed or not."""
    try:
        rows = connection.execute(
            _FIRST_LINE.format(file=quoted(path.resolve()), skip=skip, encoding=quoted(encoding))
        ).fetchall()
    except duckdb.Error as error:
        raise unreadable([path], Relation(files=[path.name], format="csv"), error) from None
    return str(rows[0][0] or "").removeprefix("\ufeff") if rows else ""


def _select(
    relation: Relation, kind: str, paths: Sequence[Path], header: Sequence[str] = ()
) -> str:
    listed = "[" + ", ".join(quoted(path.resolve()) for path in paths) + "]"
    hive = f"hive_partitioning = {str(relation.hive).lower()}"
    if relation.hive:
        hive += ", hive_types_autocast = false"
    options = f"{listed}, filename = '_file', {hive}"
    if kind == "parquet":
        numbered = f"read_parquet({options}, file_row_number = true, union_by_name = true)"
        return f"SELECT * EXCLUDE (file_row_number), file_row_number + 1 AS _row FROM {numbered}"
    if kind == "ndjson":
        types = [f"{quoted(name)}: {quoted(kind)}" for name, kind in relation.types.items()]
        columns = f", columns = {{{', '.join(types)}}}" if types else ""
        return f"FROM read_ndjson({options}{columns})"
    names = ", ".join(quoted(name) for name in relation.names or header)
    table = (
        f"read_csv({options}, header = {str(not relation.names).lower()}, names = [{names}], "
        f"{_dialect(relation)}, store_rejects = true, rejects_limit = 0)"
    )
    return f"FROM {table}"


def _dialect(relation: Relation) -> str:
    quote = quoted(relation.quote)
    return (
        f"all_varchar = true, delim = {quoted(relation.delimiter)}, quote = {quote}, "
        f"escape = {quote}, comment = '', skip = {relation.skip}, "
        f"encoding = {quoted(relation.encoding)}"
    )


def unreadable(paths: Sequence[Path], relation: Relation, error: Exception) -> BatchRejected:
    """Say that files cannot be read, and why."""
    said, whole = first_line(error), str(error).lower()
    if "sniffing" in said:  # DuckDB does not say why
        said = (
            f"lines do not fit the header, are not parted by {relation.delimiter!r}, or a quote is "
        )
        said += "not closed"
    if "unicode" in whole or "not utf-8" in whole or "utf-8 encoded" in whole:
        said = 'it is not text in UTF-8; save it so, or say `encoding = "latin-1"` in the layout'
    if "state machine" in said:
        said = "its lines end in more than one way; write all with \\n, or all with \\r\\n"
    more = f" and {len(paths) - 1:,} more" if len(paths) > 1 else ""
    return BatchRejected(
        f"{paths[0].name}{more}: not a readable {relation.format_of(paths[0])} file: {said}"
    )


def require_content(paths: Sequence[Path], encoding: Encoding = "utf-8") -> None:
    """Refuse empty files, and text in UTF-16 where another encoding is said.

    Raises
    ------
    BatchRejected
        If there is one.
    """
    for path in paths:
        if not path.stat().st_size:
            raise BatchRejected(f"{path.name}: the file is empty")
        with path.open("rb") as file:
            if encoding != "utf-16" and file.read(2) in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE):
                raise BatchRejected(
                    f"{path.name}: is text in UTF-16; save it as UTF-8, or say "
                    '`encoding = "utf-16"` in the layout'
                )
