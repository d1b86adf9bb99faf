"""Draft a layout for undescribed files, to be edited."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ubp_platform.errors import UBPError
from ubp_platform.events.schema import PRODUCTS
from ubp_platform.files import make_directory, write_text
from ubp_platform.layouts.description import DESCRIPTION, DROPPED
from ubp_platform.layouts.roles import Column, column_name, table_of
from ubp_platform.layouts.survey import Family
from ubp_platform.warehouse.casts import quoted

#: The placeholder for a column that could not be guessed.
UNKNOWN = "NULL"
# The column of each table that says what was touched, and the roles of columns for it.
_VALUE: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "search_query": ("query", ("query",)),
    "page_visit": ("url", ("url", "product")),
    **dict.fromkeys(("product_buy", "add_to_cart", "remove_from_cart"), ("sku", ("product",))),
}


@dataclass(frozen=True)
class Draft:
    """A layout that was drafted.

    Parameters
    ----------
    files : list of Path
        The files that were written.
    notes : list of str
        What could not be guessed and needs editing.
    """

    files: list[Path]
    notes: list[str]


def draft(families: Sequence[Family], directory: Path) -> Draft:
    """Write a layout into a new directory that runs as far as the columns could be guessed.

    Raises
    ------
    UBPError
        If the directory is not empty, or no family has a time; nothing is written.
    """
    if directory.exists() and (not directory.is_dir() or any(directory.iterdir())):
        raise UBPError(f"{directory} exists already: name another directory, or remove it")
    scripts: dict[str, list[str]] = {}
    notes = []
    # A catalogue is more reliable than what events say of products: the first of these is taken.
    for family in sorted(families, key=lambda one: one.having("time") is not None):
        for table, text in _scripts(family):
            scripts.setdefault(table, []).append(text)
    if not scripts.keys() - {PRODUCTS.name}:
        text, unknown = _skeleton(families)
        scripts["product_buy"] = [text]
        if unknown:
            path = directory / "product_buy.sql"
            notes.append(f"Not every column could be guessed: {path} shows what to fill in")
    for family in families:
        unused = ", ".join(_name(column) for column in family.columns if not column.role)
        if unused:
            notes.append(
                f"Columns of {family.name} that the draft does not use: {unused}. If one marks "
                "cancelled orders or tests, exclude these rows with a WHERE"
            )
    if any(_may_be_local(family.having("time")) for family in families):
        notes.append(
            "Times that name no zone are read as UTC: if they are local, set the zone in "
            f"{directory / DESCRIPTION}"
        )
    texts = {
        table: texts[0] if table == PRODUCTS.name else "UNION ALL BY NAME\n".join(texts)
        for table, texts in scripts.items()
    }
    if dropped := [text for family in families if (text := _dropped(family))]:
        texts[DROPPED] = "UNION ALL\n".join(dropped)
    texts[DESCRIPTION] = _description(families, " ".join(texts.values()))
    make_directory(directory)
    files = []
    for name, text in texts.items():
        path = directory / (name if name == DESCRIPTION else f"{name}.sql")
        write_text(path, text)
        files.append(path)
    files.sort(key=lambda path: (path.suffix, path.name), reverse=True)
    return Draft(files, notes)


def _may_be_local(time: Column | None) -> bool:
    return time is not None and time.type == "VARCHAR" and "from_" not in time.reading


def _skeleton(families: Sequence[Family]) -> tuple[str, list[str]]:
    """Return a script of purchases to be filled in, and the roles without a column."""
    family = next((one for one in families if one.having("time")), None)
    if family is None:
        seen = "; ".join(
            f"{one.files[0]} has {', '.join(column.name for column in one.columns)}"
            for one in families[:3]
        )
        raise UBPError(
            f"no file has a column that looks like a time, which events need: {seen}. Add it to "
            "the files, or write a layout whose SQL computes it (docs/how-to/ingest.md)"
        )
    parts, unknown = [], []
    for role, column in (("client", "client_id"), ("time", "timestamp"), ("product", "sku")):
        found = family.having(role)
        parts.append(_as((found.reading or _name(found)) if found else UNKNOWN, column))
        unknown += [] if found else [role]
    left = ", ".join(_name(column) for column in family.columns if not column.role)
    which = " and which the ".join(unknown)
    note = f"-- Which column is the {which} could not be guessed: write it instead of\n"
    note += f"-- {UNKNOWN}. There are {left or 'no others'}.\n"
    return f"{note}SELECT {_listed(parts)}\nFROM {family.name}\n", unknown


def _scripts(family: Family) -> Iterator[tuple[str, str]]:
    client, time, product = (family.having(role) for role in ("client", "time", "product"))
    if client and time:
        yield from _events(family, client, time)
    if product:
        yield from _products(family, product, None if client and not time else time)


def _events(family: Family, client: Column, time: Column) -> Iterator[tuple[str, str]]:
    kind = family.having("kind")
    where: dict[str, list[str]] = {}
    left: list[str] = []
    if kind:
        for value in kind.kinds:
            table = table_of(value)
            (where.setdefault(table, []) if table else left).append(value)
    if not where:
        default = "product_buy" if family.having("product") else "page_visit"
        table = table_of(f"{family.name} {family.files[0]}") or default
        where, left = {table: []}, []
    for table, values in where.items():
        column, roles = _VALUE[table]
        having = [found for role in roles if (found := family.having(role))]
        if not having:
            continue
        parts = [_as(_name(client), "client_id"), _as(time.reading, "timestamp")]
        # If a page view has no URL, its product replaces it.
        value = f"coalesce({', '.join(map(_name, having))})" if having[1:] else _name(having[0])
        parts.append(_as(value, column))
        if column == "sku":
            more = (("price", family.having("price")), ("quantity", family.having("quantity")))
            parts += [_as(found.reading or _name(found), role) for role, found in more if found]
        parts.append("_file, _row")
        condition = ""
        if values and kind:
            listed = ", ".join(quoted(one) for one in values)
            condition = f"\nWHERE {_name(kind)} IN ({listed})"
        note = f"-- Not read: {', '.join(left)}.\n" if left and kind else ""
        if time.reading.startswith("try_strptime") and "%m/%d" in time.reading:
            note += f"-- {time.example} is read with the month first.\n"
        yield table, f"{note}SELECT {_listed(parts)}\nFROM {family.name}{condition}\n"


def _dropped(family: Family) -> str:
    """Return the query of events whose kind belongs to no table; empty if there are no kinds."""
    kind = family.having("kind")
    if not kind or not family.having("client") or not family.having("time"):
        return ""
    known = [quoted(value) for value in kind.kinds if table_of(value)]
    name = _name(kind)
    return (
        f"SELECT 'kind of event: ' || coalesce({name}, 'none')\nFROM {family.name}\n"
        f"WHERE {name} IS NULL OR {name} NOT IN ({', '.join(known)})\n"
    )


def _products(family: Family, product: Column, time: Column | None) -> Iterator[tuple[str, str]]:
    columns = [(role, family.having(role)) for role in ("category", "price", "name")]
    known = [(role, column) for role, column in columns if column]
    if not known:
        return
    sku, source = _as(_name(product), "sku"), f"\nFROM {family.name}"
    if time is None:
        parts = [sku, *(f"any_value({_read(column)}) AS {role}" for role, column in known)]
        group = f"WHERE {_name(product)} IS NOT NULL GROUP BY {_name(product)}"
        yield "product_properties", f"SELECT {_listed(parts)}{source}\n{group}\n"
        return
    parts = [sku, *(f"{_read(column) if column else 'NULL'} AS {role}" for role, column in columns)]
    parts.append(f"{time.reading} AS valid_from")
    kept = ", ".join(["sku", *(role for role, _ in known), "valid_from"])
    yield (
        "product_properties",
        "-- What an event shows of a product holds from then on.\n"
        f"WITH seen AS (SELECT {_listed(parts)}{source})\n"
        f"SELECT {kept} FROM product_changes('seen')\n",
    )


def _read(column: Column) -> str:
    return column.reading or _name(column)


def _name(column: Column) -> str:
    return column_name(column.name)


def _as(expression: str, column: str) -> str:
    return expression if expression == column else f"{expression} AS {column}"


def _listed(parts: Sequence[str]) -> str:
    return ",\n       ".join(parts)


def _description(families: Sequence[Family], scripts: str) -> str:
    lines = [
        'about = "A draft by `ubp init`: edit what is wrong"',
        "# The zone of times that name none, such as Europe/Berlin.",
        'time_zone = "UTC"',
    ]
    for family in families:
        if not re.search(rf"\bFROM {family.name}\b", scripts):
            continue
        relation = family.relation
        lines += ["", f"[relation.{family.name}]", f"files = {json.dumps(relation.files)}"]
        lines.append(f"format = {json.dumps(relation.format)}")
        if relation.delimiter != ",":
            lines.append(f"delimiter = {json.dumps(relation.delimiter)}")
        if relation.hive:
            lines.append("hive = true")
        if relation.types:
            used = [column.name for column in family.columns if column.role]
            fields = (f"{json.dumps(name)} = {json.dumps(relation.types[name])}" for name in used)
            lines.append(f"types = {{{', '.join(fields)}}}")
        if not relation.hive:  # the first file of a tree may lack columns of later ones
            names = [column.name for column in family.columns if column.role]
            lines.append(f"columns = {json.dumps(names, ensure_ascii=False)}")
    return "\n".join(lines) + "\n"
