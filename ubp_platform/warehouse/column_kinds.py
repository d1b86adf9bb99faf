"""The kinds of a shop's columns: decided once, when a column first lands, and kept from then on.

Ids are integers or text. Prices are buckets of 0–99, as in RecSys Challenge 2025, or money. Names
and queries are lists of codes, as in the challenge, or words.
"""

from collections.abc import Iterator, Mapping, Sequence

import duckdb

from ubp_platform.events.schema import BUCKETS, ID_COLUMNS, PRODUCTS, ColumnKind
from ubp_platform.warehouse.casts import INTEGERS, codes_of, integer_of, quoted
from ubp_platform.warehouse.staged import StagedTable

#: The strict kind of a column, which nearly all its values must have, and the other kind.
CHOICES: Mapping[str, tuple[ColumnKind, ColumnKind]] = {
    **dict.fromkeys(ID_COLUMNS, ("whole", "text")),
    "price": ("bucket", "money"),
    "name": ("codes", "words"),
    "query": ("codes", "words"),
}
# The share of values that may lack the strict kind. It does not depend on --max-quarantine, so that
# equal values get equal kinds.
_MOST_BAD = 0.05
#: The kinds as messages name them.
WORDS: Mapping[ColumnKind, str] = {
    "whole": "whole numbers",
    "text": "text",
    "bucket": "buckets of 0–99, because all are whole numbers (for money, write 12.00)",
    "money": "money",
    "codes": "lists of codes",
    "words": "words",
}
# Types of text ids: text itself, and types whose values do not fit into a key.
_TEXT = {"VARCHAR", "UUID", "UBIGINT", "HUGEINT", "UHUGEINT"}


def decide(
    connection: duckdb.DuckDBPyConnection,
    staged: Sequence[StagedTable],
    known: Mapping[str, ColumnKind],
    text: Sequence[str] = (),
) -> dict[str, ColumnKind]:
    """Decide the kinds of a delivery's columns.

    Ids of a numeric type are integers. Text ids are integers if nearly all of them look like one;
    the others are bad rows then. Otherwise all are text and stay as they are, even ``007``.
    Likewise, prices are buckets if nearly all are integers from 0 to 99, and names and queries are
    codes if nearly all are lists of integers.

    Parameters
    ----------
    connection : DuckDBPyConnection
    staged : sequence of StagedTable
    known : mapping of str to str
        The kinds that have been decided before, which do not change.
    text : sequence of str
        Columns that are text according to the layout.

    Returns
    -------
    dict of str to str
        By column, including known ones. A column without any value stays undecided.
    """
    found = dict(known)
    for column, (strict, other) in CHOICES.items():
        if column in found:
            continue
        counts = [_counts(connection, one, column) for one in _having(staged, column)]
        values, fitting = (sum(count) for count in zip(*counts, strict=True)) if counts else (0, 0)
        if values:
            is_other = column in text or values - fitting > _MOST_BAD * values
            found[column] = other if is_other else strict
    return found


def _having(staged: Sequence[StagedTable], column: str) -> Iterator[StagedTable]:
    """Yield the tables that have a column; an event's price is always money."""
    for one in staged:
        if column in one.table.columns and (column != "price" or one.table is PRODUCTS):
            yield one


def _counts(
    connection: duckdb.DuckDBPyConnection, staged: StagedTable, column: str
) -> tuple[int, int]:
    """Count a column's values, and those that are of the strict kind."""
    relation = connection.read_parquet(str(staged.path), hive_partitioning=False)
    types = dict(zip(relation.columns, map(str, relation.types), strict=True))
    type_ = types.get(column)
    if type_ is None:
        return 0, 0
    present = f"{column} IS NOT NULL"
    if type_ == "VARCHAR":
        present = f"trim({column}) <> ''"
    if column in ID_COLUMNS:
        # Types that cannot hold ids are rejected by the scan.
        is_text = type_ in _TEXT
        fitting = _not_null(integer_of(column, type_)) if is_text else "true"
    elif column == "price":
        # 5.00 is money, and so are integral amounts of a type with decimals.
        fitting = "false"
        if type_ == "VARCHAR":
            fitting = f"regexp_full_match({column}, '[0-9]{{1,2}}')"
        elif type_ in INTEGERS:
            fitting = f"{column} BETWEEN 0 AND {BUCKETS - 1}"
    else:
        value = codes_of(column, type_)
        # The number of codes is checked by the suite.
        fitting = f"coalesce(len({value}) > 1, false)" if type_ == "VARCHAR" else "true"
    row = connection.execute(
        f"""SELECT count(*), count(*) FILTER ({fitting})
            FROM read_parquet({quoted(staged.path)}, hive_partitioning = false) WHERE {present}"""
    ).fetchall()[0]
    return int(row[0]), int(row[1])


def _not_null(expression: str | None) -> str:
    return f"{expression} IS NOT NULL" if expression else "false"


def describe(
    found: Mapping[str, ColumnKind],
    known: Mapping[str, ColumnKind],
    opening: str = "from now on",
) -> str:
    """Describe the kinds that are not known yet in one line; empty if there are none."""
    new = {column: kind for column, kind in found.items() if column not in known}
    parts = []
    for kind, words in WORDS.items():
        if columns := [column for column, its in new.items() if its == kind]:
            parts.append(f"{', '.join(columns)}: {words}")
    return f"{opening} {'; '.join(parts)}" if parts else ""
