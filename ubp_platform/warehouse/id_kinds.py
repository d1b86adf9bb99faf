"""Whether a shop's ids are whole numbers or text: decided once, when they first land."""

from collections.abc import Mapping, Sequence

import duckdb

from ubp_platform.events.schema import ID_COLUMNS, IdKind
from ubp_platform.warehouse.scan import EXACT, INTEGERS, WHOLE, Staged, quoted

# Whole numbers of these types may be too large for a key of 64 bits with a sign.
_WIDE = {"UBIGINT", "HUGEINT", "UHUGEINT"}


def decide(
    connection: duckdb.DuckDBPyConnection,
    staged: Sequence[Staged],
    known: Mapping[str, IdKind],
    text: Sequence[str] = (),
    most_bad: float = 0.05,
) -> dict[str, IdKind]:
    """Tell what kind of ids each column of a delivery has.

    Numbers of a numeric type are whole numbers. Texts are, if nearly all of them look like one:
    what does not is then a bad row. Else all are text, and stay as they are, ``007`` too.

    Parameters
    ----------
    connection : DuckDBPyConnection
    staged : sequence of Staged
    known : mapping of str to {"whole", "text"}
        What has landed before: it is not asked again.
    text : sequence of str
        Columns of which the layout says that they are text.
    most_bad : float
        The share of texts that may be no whole numbers.

    Returns
    -------
    dict of str to {"whole", "text"}
        Known ones included; a column without a single value stays undecided.
    """
    found = dict(known)
    for column in ID_COLUMNS:
        if column in found:
            continue
        values = whole = 0
        for one in staged:
            if column in one.table.columns:
                more = _counts(connection, one, column)
                values, whole = values + more[0], whole + more[1]
        if values:
            is_text = column in text or values - whole > most_bad * values
            found[column] = "text" if is_text else "whole"
    return found


def _counts(
    connection: duckdb.DuckDBPyConnection, staged: Staged, column: str
) -> tuple[int, int]:
    """Count a column's values, and those that are whole numbers of 64 bits."""
    relation = connection.read_parquet(str(staged.path), hive_partitioning=False)
    types = dict(zip(relation.columns, map(str, relation.types), strict=True))
    type_ = types.get(column)
    if type_ is None:
        return 0, 0
    whole = "true"
    if type_ == "VARCHAR":
        whole = f"regexp_full_match({column}, {quoted(WHOLE)})"
        whole += f" AND TRY_CAST(regexp_extract({column}, '^-?[0-9]+') AS BIGINT) IS NOT NULL"
    elif type_ in _WIDE:
        whole = f"TRY_CAST({column} AS BIGINT) IS NOT NULL"
    elif type_ not in INTEGERS | EXACT.keys() and not type_.startswith("DECIMAL"):
        whole = "false"
    present = f"trim({column}) <> ''" if type_ == "VARCHAR" else f"{column} IS NOT NULL"
    row = connection.execute(
        f"""SELECT count(*), count(*) FILTER ({whole})
            FROM read_parquet(?, hive_partitioning = false) WHERE {present}""",
        [str(staged.path)],
    ).fetchone()
    return row if row else (0, 0)
