"""A layout for files nobody has described, as far as guesses carry: to be edited."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from ubp_platform.errors import UBPError
from ubp_platform.layouts.description import DESCRIPTION, DROPPED
from ubp_platform.layouts.survey import Column, Family, named
from ubp_platform.warehouse.casts import quoted

#: What kinds of events are called that go to a table; the first that fits.
_KINDS: Mapping[str, str] = {
    "remove_from_cart": r"remov|delet|storno|entfern|retir|supprim|elimin|quitar|verwijder",
    "add_to_cart": r"cart|basket|add|warenkorb|panier|carrito|winkelw",
    "product_buy": (
        r"purchas|buy|bought|order|transact|sale|sold|checkout|paid"
        r"|kauf|bestell|achat|command|compra|pedido|aankoop"
    ),
    "search_query": r"search|query|such|recherche|busqueda|zoek",
    "page_visit": r"view|visit|page|click|pv|impress|seite|pagina|besuch",
}
#: What stands where a column could not be guessed.
UNKNOWN = "NULL"
_VALUE: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "search_query": ("query", ("query",)),
    "page_visit": ("url", ("url", "product")),
    **dict.fromkeys(("product_buy", "add_to_cart", "remove_from_cart"), ("sku", ("product",))),
}


def draft(families: Sequence[Family], directory: Path) -> list[Path]:
    """Write a layout that runs as far as the guesses carry.

    Parameters
    ----------
    families : sequence of Family
    directory : Path
        Gets ``layout.toml`` and a ``SELECT`` a table; must not hold anything yet.

    Returns
    -------
    list of Path
        The files that were written.

    Raises
    ------
    UBPError
        If the directory is not empty, or no family has a time; nothing is written.
    """
    if directory.exists() and (not directory.is_dir() or any(directory.iterdir())):
        raise UBPError(f"{directory} is there already: name another directory, or remove it")
    scripts: dict[str, list[str]] = {}
    for family in families:
        for table, text in _scripts(family):
            scripts.setdefault(table, []).append(text)
    if not scripts.keys() - {"product_properties"}:
        scripts["product_buy"] = [_skeleton(families)]
    # The whole catalogue in one file says more than events do.
    texts = {
        table: found[0] if table == "product_properties" else "UNION ALL BY NAME\n".join(found)
        for table, found in scripts.items()
    }
    if dropped := [text for family in families if (text := _dropped(family))]:
        texts[DROPPED] = "UNION ALL\n".join(dropped)
    texts[DESCRIPTION] = _description(families, " ".join(texts.values()))
    directory.mkdir(parents=True, exist_ok=True)
    written = []
    for name, text in texts.items():
        path = directory / (name if name == DESCRIPTION else f"{name}.sql")
        path.write_text(text, "utf-8")
        written.append(path)
    return sorted(written, key=lambda path: (path.suffix, path.name), reverse=True)


def _skeleton(families: Sequence[Family]) -> str:
    """Write purchases of which not all columns could be guessed, to be filled in.

    Raises
    ------
    UBPError
        If no file has a time.
    """
    family = next((one for one in families if one.having("time")), None)
    if family is None:
        seen = "; ".join(
            f"{one.files[0]} has {', '.join(column.name for column in one.columns)}"
            for one in families[:3]
        )
        raise UBPError(
            f"no file has a column that looks like a time, and events have one: {seen}. Add it to "
            "the files, or write a layout whose SQL makes it (docs/how-to/ingest.md)"
        )
    parts, unknown = [], []
    for role, column in (("client", "client_id"), ("time", "timestamp"), ("product", "sku")):
        found = family.having(role)
        parts.append(_as((found.reading or _named(found)) if found else UNKNOWN, column))
        unknown += [] if found else [role]
    left = ", ".join(_named(column) for column in family.columns if not column.role)
    which = " and which the ".join(unknown)
    note = f"-- Which column is the {which} could not be guessed: write it in the place of\n"
    note += f"-- {UNKNOWN}. There are {left or 'no others'}.\n"
    return f"{note}SELECT {_listed(parts)}\nFROM {family.name}\n"


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
            table = next((t for t, words in _KINDS.items() if re.search(words, value.lower())), "")
            (where.setdefault(table, []) if table else left).append(value)
    if not where:
        name = family.name + " " + family.files[0].lower()
        table = next((t for t, words in _KINDS.items() if re.search(words, name)), "")
        if not table:
            table = "product_buy" if family.having("product") else "page_visit"
        where, left = {table: []}, []
    for table, values in where.items():
        column, roles = _VALUE[table]
        having = [found for role in roles if (found := family.having(role))]
        if not having:
            continue
        parts = [_as(_named(client), "client_id"), _as(time.reading, "timestamp")]
        # A view of a product without a URL: the product stands for its page.
        value = f"coalesce({', '.join(map(_named, having))})" if having[1:] else _named(having[0])
        parts.append(_as(value, column))
        if column == "sku":
            more = (("price", family.having("price")), ("quantity", family.having("quantity")))
            parts += [_as(found.reading or _named(found), role) for role, found in more if found]
        parts.append("_file, _row")
        condition = ""
        if values and kind:
            listed = ", ".join(quoted(one) for one in values)
            condition = f"\nWHERE {_named(kind)} IN ({listed})"
        note = f"-- Not read: {', '.join(left)}.\n" if left and kind else ""
        if time.reading.startswith("try_strptime") and "%m/%d" in time.reading:
            note += f"-- {time.example} is read with the month first.\n"
        yield table, f"{note}SELECT {_listed(parts)}\nFROM {family.name}{condition}\n"


def _dropped(family: Family) -> str:
    """Count what is of no kind that a table has; nothing where there are no kinds."""
    kind = family.having("kind")
    if not kind or not family.having("client") or not family.having("time"):
        return ""
    known = [
        quoted(value)
        for value in kind.kinds
        if any(re.search(words, value.lower()) for words in _KINDS.values())
    ]
    name = _named(kind)
    return (
        f"SELECT 'kind of event: ' || coalesce({name}, 'none')\nFROM {family.name}\n"
        f"WHERE {name} IS NULL OR {name} NOT IN ({', '.join(known)})\n"
    )


def _products(family: Family, product: Column, time: Column | None) -> Iterator[tuple[str, str]]:
    columns = [(role, family.having(role)) for role in ("category", "price", "name")]
    known = [(role, column) for role, column in columns if column]
    if not known:
        return
    newest = "any_value({})" if time is None else f"arg_max({{}}, {time.reading})"
    parts = [_as(_named(product), "sku")]
    parts += [
        f"{newest.format(column.reading or _named(column))} AS {role}" for role, column in known
    ]
    note = "-- As the newest event has it.\n" if time else ""
    group = (
        f"\nFROM {family.name}\nWHERE {_named(product)} IS NOT NULL GROUP BY {_named(product)}\n"
    )
    yield "product_properties", f"{note}SELECT {_listed(parts)}{group}"


def _named(column: Column) -> str:
    return named(column.name)


def _as(expression: str, column: str) -> str:
    return expression if expression == column else f"{expression} AS {column}"


def _listed(parts: Sequence[str]) -> str:
    return ",\n       ".join(parts)


def _description(families: Sequence[Family], scripts: str) -> str:
    lines = [
        'about = "A draft of `ubp init`: edit what is wrong"',
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
        if not relation.hive:  # of a tree the first file may not have what others have
            names = [column.name for column in family.columns if column.role]
            lines.append(f"columns = {json.dumps(names, ensure_ascii=False)}")
    return "\n".join(lines) + "\n"
