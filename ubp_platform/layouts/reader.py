"""The SQL that reads the files of a relation.

Nothing is guessed: a wrongly guessed comment sign, type or null would lose rows or ids.
"""

import codecs
import csv
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import duckdb

from ubp_platform.errors import BatchRejected, first_line
from ubp_platform.layouts.description import Encoding, Relation
from ubp_platform.limits import require_columns as require_few_columns
from ubp_platform.limits import require_lines, require_parquet
from ubp_platform.settings import Settings
from ubp_platform.warehouse.casts import quoted

_FIRST_LINE = """
    SELECT line FROM read_csv({file}, columns = {{'line': 'VARCHAR'}}, auto_detect = false,
                              header = false, delim = chr(7), quote = '', escape = '',
                              comment = '', skip = {skip}, encoding = {encoding},
                              max_line_size = {longest}) LIMIT 1"""


def reading(
    connection: duckdb.DuckDBPyConnection, relation: Relation, paths: Sequence[Path]
) -> str:
    """Return the ``SELECT`` that reads files; columns are matched by name.

    The column ``_file`` names the file of a row; in Parquet ``_row`` is its number, from 1.
    """
    # DuckDB either matches the columns of several CSV files by name or keeps rejected lines.
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
    """Return the columns of each CSV file with a header and of each Parquet file."""
    found = {}
    for path in paths:
        kind = relation.format_of(path)
        if kind == "csv" and not relation.names:
            found[path] = _header(connection, relation, path)
        elif kind == "parquet":
            found[path] = connection.read_parquet(str(path)).columns
    return found


def require_columns(relation: Relation, columns: Mapping[Path, Sequence[str]]) -> Iterator[str]:
    """Check that each file has the columns by which a relation is recognised.

    Yields messages about columns that only some files have.

    Raises
    ------
    BatchRejected
        If a file lacks a required column.
    """
    lower = {path: {name.lower() for name in names} for path, names in columns.items()}
    for path, names in lower.items():
        if missing := [name for name in relation.columns if name.lower() not in names]:
            if relation.hive:
                continue  # folders may be named after it
            hint = ""
            if len(names) == 1 and relation.format_of(path) == "csv":
                hint = f"; if {relation.delimiter!r} does not separate them, set `delimiter`"
            raise BatchRejected(
                f"{path.name}: missing column {', '.join(missing)}; its columns are "
                f"{', '.join(map(repr, columns[path]))}{hint}; if it belongs to no relation, "
                "exclude it in the layout's `files`"
            )
    for name in sorted(set().union(*lower.values())):
        without = [path.name for path, names in lower.items() if name not in names]
        if without:
            more = f" and {len(without) - 3:,} more" if len(without) > 3 else ""
            yield (
                f"the column {name!r}, which other files have, is missing in "
                f"{', '.join(without[:3])}{more}: it is read as empty"
            )


def _require_alike(connection: duckdb.DuckDBPyConnection, paths: Sequence[Path]) -> None:
    """Refuse Parquet files that cannot be combined without changing values.

    A column must not have a zone in one file and none in another, or floating-point numbers of two
    sizes, and no two columns of a file may have the same name.
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
            "separately, or in the same type"
        )
    twice = connection.sql(
        f"""SELECT parse_filename(file_name), min(name), max(name) FROM parquet_schema({listed})
            WHERE num_children IS NULL GROUP BY file_name, lower(name)
            HAVING count(DISTINCT name) > 1 LIMIT 1"""
    ).fetchall()
    for file, one, other in twice:
        raise BatchRejected(f"{file}: the columns {one!r} and {other!r} have the same name")


def _header(connection: duckdb.DuckDBPyConnection, relation: Relation, path: Path) -> list[str]:
    """Return the stripped column names of a CSV file's header, or none if it has no header."""
    if relation.names:
        return []
    line = first_line_of(connection, path, relation.skip, relation.encoding)
    if not line.strip():
        raise BatchRejected(
            f"{path.name}: the line where the header should be is blank: remove it, or set "
            f"`skip = {relation.skip + 1}` in a layout of your own"
        )
    quote = {"quotechar": relation.quote} if relation.quote else {"quoting": csv.QUOTE_NONE}
    header = next(csv.reader([line], delimiter=relation.delimiter, **quote), [])
    require_few_columns(path, header)
    names = [name.strip() or f"column{number}" for number, name in enumerate(header)]
    if re.fullmatch("sep=.", line.strip().lower()):
        raise BatchRejected(
            f"{path.name}: its first line is {line.strip()!r}, from a spreadsheet: remove it, or "
            "set `skip = 1` in a layout of your own"
        )
    lower = [name.lower() for name in names]
    if twice := [name for name in names if lower.count(name.lower()) > 1]:
        raise BatchRejected(f"{path.name}: two columns are named {twice[0]!r}: rename one of them")
    if taken := sorted({*lower} & {"_file", "_row"}):
        raise BatchRejected(f"{path.name}: the column name {taken[0]} is reserved: rename it")
    return names


def first_line_of(
    connection: duckdb.DuckDBPyConnection, path: Path, skip: int = 0, encoding: Encoding = "utf-8"
) -> str:
    """Return the first line of a text file, compressed or not."""
    try:
        rows = connection.execute(
            _FIRST_LINE.format(
                file=quoted(path.resolve()),
                skip=skip,
                encoding=quoted(encoding),
                longest=_longest_line(),
            )
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
    longest = _longest_line()
    options = f"{listed}, filename = '_file', {hive}"
    if kind == "parquet":
        numbered = f"read_parquet({options}, file_row_number = true, union_by_name = true)"
        return f"SELECT * EXCLUDE (file_row_number), file_row_number + 1 AS _row FROM {numbered}"
    if kind == "ndjson":
        types = [f"{quoted(name)}: {quoted(kind)}" for name, kind in relation.types.items()]
        columns = f", columns = {{{', '.join(types)}}}" if types else ""
        return f"FROM read_ndjson({options}{columns}, maximum_object_size = {longest})"
    names = ", ".join(quoted(name) for name in relation.names or header)
    quote = quoted(relation.quote)
    # All columns are text: DuckDB need not try other types, which takes quadratic time on digits.
    return (
        f"FROM read_csv({options}, header = {str(not relation.names).lower()}, names = [{names}], "
        f"all_varchar = true, auto_type_candidates = ['VARCHAR'], "
        f"delim = {quoted(relation.delimiter)}, quote = {quote}, "
        f"escape = {quote}, comment = '', skip = {relation.skip}, "
        f"encoding = {quoted(relation.encoding)}, max_line_size = {longest}, "
        "store_rejects = true, rejects_limit = 0)"
    )


def _longest_line() -> int:
    # DuckDB may lose a row above its limit without a word; a row in another encoding may be longer.
    return 2 * Settings.load().max_row_bytes


def unreadable(paths: Sequence[Path], relation: Relation, error: Exception) -> BatchRejected:
    """Return an error that says why files cannot be read; raise it if one exceeds a limit."""
    for path in paths:
        if relation.format_of(path) != "parquet":
            require_lines(path)
    reason, text = first_line(error), str(error).lower()
    if "sniffing" in reason:  # DuckDB does not give the reason
        reason = (
            f"lines do not match the header, are not separated by {relation.delimiter!r}, or a "
            "quote is not closed"
        )
    if "unicode" in text or "not utf-8" in text or "utf-8 encoded" in text:
        reason = 'it is not UTF-8; save it as such, or set `encoding = "latin-1"` in the layout'
    if "state machine" in reason:
        reason = "its lines have different endings; end all with \\n, or all with \\r\\n"
    more = f" and {len(paths) - 1:,} more" if len(paths) > 1 else ""
    return BatchRejected(
        f"{paths[0].name}{more}: not a readable {relation.format_of(paths[0])} file: {reason}"
    )


def require_content(paths: Sequence[Path], relation: Relation) -> None:
    """Refuse empty files, UTF-16 text where another encoding is expected, and what is too wide.

    Only the beginning of a text file is read.
    """
    for path in paths:
        if not path.stat().st_size:
            raise BatchRejected(f"{path.name}: the file is empty")
        with path.open("rb") as file:
            if relation.encoding != "utf-16" and file.read(2) in (
                codecs.BOM_UTF16_LE,
                codecs.BOM_UTF16_BE,
            ):
                raise BatchRejected(
                    f"{path.name}: is UTF-16 text; save it as UTF-8, or set "
                    '`encoding = "utf-16"` in the layout'
                )
        kind = relation.format_of(path)
        if kind == "parquet":
            require_parquet(path)
        else:
            require_lines(path, first=relation.skip + 1)
        if kind == "ndjson":
            _require_few_fields(path)


def _require_few_fields(path: Path) -> None:
    with duckdb.connect(":memory:") as connection, suppress(ValueError, RecursionError):
        require_few_columns(path, json.loads(first_line_of(connection, path)))
