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
        If the directory is not empty, or no family can be events; nothing is written.
    """
    if directory.exists() and (not directory.is_dir() or any(directory.iterdir())):
        raise UBPError(f"{directory} is there already: name another directory, or remove it")
    scripts: dict[str, list[str]] = {}
    for family in families:
        for table, text in _scripts(family):
            scripts.setdefault(table, []).append(text)
    if not scripts.keys() - {"product_properties"}:
        raise UBPError(_why_not(families))
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


def _why_not(families: Sequence[Family]) -> str:
    for family in families:
        if (client := family.having("client")) and not family.having("time"):
            return (
                f"{family.files[0]} has {client.name}, but no column that looks like a time: "
                "events have one. Add it to the file, or write a layout whose SQL makes it "
                "(docs/ingest.md)"
            )
    seen = "; ".join(
        f"{family.files[0]} has {', '.join(column.name for column in family.columns)}"
        for family in families[:3]
    )
    return (
        "no file has both a column that looks like a client and one that looks like a time: "
        f"{seen}. Write a layout yourself: docs/ingest.md has one on a page"
    )


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
