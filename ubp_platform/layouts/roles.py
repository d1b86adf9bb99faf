"""Guess what the columns of undescribed files hold, by their names and first values."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache

import duckdb
import pandas as pd

# Parts of the kinds of events of each table; the first match counts.
_EVENT_KINDS: Mapping[str, str] = {
    "remove_from_cart": r"remov|delet|storno|entfern|retir|supprim|elimin|quitar|verwijder",
    "add_to_cart": r"cart|basket|add|warenkorb|panier|carrito|winkelw",
    "product_buy": (
        r"purchas|buy|bought|order|transact|sale|sold|checkout|paid"
        r"|kauf|bestell|achat|command|compra|pedido|aankoop"
    ),
    "search_query": r"search|query|such|recherche|busqueda|zoek",
    "page_visit": r"view|visit|page|click|pv|impress|seite|pagina|besuch",
}

# The largest number of values of a column of event kinds.
_KINDS = 40
# Parts of the names of columns with a role, in English, German, French, Spanish and Dutch; the
# first matching role counts.
_NAMES: Mapping[str, str] = {
    "time": r"time|date|created|occurred|(^|_)(ts|at)$|zeit|datum|fecha|horodat|tijd",
    "quantity": r"quantity|qty|units|menge|anzahl|cantidad|quantit|aantal",
    "price": (
        r"price|amount|revenue|paid|cost|preis|betrag|prix|montant|precio|importe|prijs|bedrag"
    ),
    "category": r"categ|department|aisle|genre|kategorie|warengruppe|rubri|rayon|afdeling",
    "client": r"client|customer|user|visitor|member|household|shopper|e-?mail|buyer|kunde|klant",
    "query": r"query|search|keyword|term|such|recherche|busqueda|zoek",
    "url": r"url|page|path|location|href|seite|pagina",
    "name": r"name|title|description|bezeichnung|titel|nombre|libell|naam|omschrijving",
    "product": r"sku|product|item|article|artikel|asin|stockcode|ean|gtin|goods|produkt|produit",
}
# Parts of the names of a column of event kinds, and of its values.
_KIND = r"event|type|action|behaviou?r|activity|aktion|ereignis|accion|[eé]v[eé]nement|actie"
_EVENTS = (
    r"view|visit|page|click|pv|cart|basket|purchas|buy|order|transact|search"
    r"|kauf|bestell|warenkorb|seite|such|achat|command|panier|compra|pedido|carrito|aankoop|winkelw"
)
_DIGITS = {10: "from_seconds", 13: "from_milliseconds", 16: "from_microseconds"}


@dataclass(frozen=True)
class Column:
    """A column, as its first rows show it.

    Parameters
    ----------
    name : str
    type : str
        The DuckDB type.
    example : str
        The first value.
    role : str
        What it seems to hold, such as ``client``; empty if unknown.
    reading : str
        The SQL that reads a time or a number.
    kinds : tuple of str
        The values of a column of event kinds.
    """

    name: str
    type: str
    example: str
    role: str = ""
    reading: str = ""
    kinds: tuple[str, ...] = ()


def table_of(kind: str) -> str:
    """Return the table of a kind of event; empty if it belongs to none."""
    matches = (table for table, words in _EVENT_KINDS.items() if re.search(words, kind.lower()))
    return next(matches, "")


def column_name(column: str) -> str:
    """Return the name of a column as SQL, quoted if necessary."""
    simple = re.fullmatch("[a-z_][a-z0-9_]*", column) and column not in keywords()
    return column if simple else '"' + column.replace('"', '""') + '"'


@cache
def keywords() -> frozenset[str]:
    """Return the keywords of DuckDB's SQL."""
    with duckdb.connect(":memory:") as connection:
        rows = connection.execute("SELECT keyword_name FROM duckdb_keywords()").fetchall()
    return frozenset(name for (name,) in rows)


def describe_columns(frame: pd.DataFrame, types: Mapping[str, str]) -> Iterator[Column]:
    """Describe the columns of a sample; each role is given to one column only."""
    taken: set[str] = set()
    for name in frame.columns:
        values = frame[name].dropna()
        text = values.astype(str)
        text = text[text.str.strip() != ""]
        example = text.iloc[0] if len(text) else ""
        role, reading, kinds = _role(str(name), text, types[str(name)])
        if role in taken:
            role, reading, kinds = "", "", ()
        if role:
            taken.add(role)
        yield Column(str(name), types[str(name)], example, role, reading, kinds)


def _role(name: str, text: pd.Series, type_: str) -> tuple[str, str, tuple[str, ...]]:
    """Guess the role of a column, the SQL that reads it, and its event kinds."""
    lower = name.lower()
    if type_.startswith(("STRUCT", "MAP", "JSON", "BOOLEAN")) or type_.endswith("]"):
        return "", "", ()  # its fields may be ids, but it is not one
    time = _time(name, text, type_)
    if time and (re.search(_NAMES["time"], lower) or not text.str.fullmatch(r"\d+").all()):
        return "time", time, ()
    if re.search(_KIND, lower) and len(text):
        kinds = tuple(text.value_counts().index[:_KINDS])
        few = text.nunique() <= _KINDS and text.str.len().max() <= 40
        if few and any(re.search(_EVENTS, kind.lower()) for kind in kinds):
            return "kind", "", kinds
    for role, pattern in _NAMES.items():
        if role == "time" or not re.search(pattern, lower):
            continue
        if role in ("price", "quantity"):
            if number := _number(name, text):
                return role, number, ()
            continue
        if role == "name" and re.search(r"file|first|last|user", lower):
            continue
        return role, "", ()
    return "", "", ()


def _number(name: str, text: pd.Series) -> str:
    """Return the SQL that reads a number; empty if the values do not look like numbers."""
    column = column_name(name)
    readings = {
        r"-?\d+([.]\d+)?": column,
        r"-?\d+(,\d+)?": f"replace({column}, ',', '.')",
        r"-?\d{1,3}([.]\d{3})*(,\d+)?": f"replace(replace({column}, '.', ''), ',', '.')",
        r"-?\d{1,3}(,\d{3})*([.]\d+)?": f"replace({column}, ',', '')",
    }
    return next(
        (
            reading
            for form, reading in readings.items()
            if len(text) and text.str.fullmatch(form).mean() > 0.9
        ),
        "",
    )


def _time(name: str, text: pd.Series, type_: str) -> str:
    """Return the SQL that reads a time; empty if the values do not look like times."""
    column = column_name(name)
    if type_.startswith(("TIMESTAMP", "DATE")):
        return column
    if not len(text):
        return ""
    lengths = text.str.len()
    if text.str.fullmatch(r"\d+").all() and lengths.nunique() == 1:
        function = _DIGITS.get(int(lengths.iloc[0]))
        return f"{function}({column})" if function else ""
    if text.str.match(r"\d{4}-\d\d-\d\d").mean() > 0.9:
        return column
    parts = text.str.extract(
        r"^(\d{1,2})([/.-])(\d{1,2})\2(\d{4})([ T]+\d{1,2}:\d\d(:\d\d)?( ?[AaPp][Mm])?)?"
    )
    if parts[0].notna().mean() < 0.9:
        return ""
    sign = parts[1].mode()[0]
    day_first = (parts[0].dropna().astype(int) > 12).any() or sign == "."
    date = f"%d{sign}%m{sign}%Y" if day_first else f"%m{sign}%d{sign}%Y"
    has_halves = parts[6].notna().any()
    clock = (" %I:%M" if has_halves else " %H:%M") if parts[4].notna().any() else ""
    clock += ":%S" if parts[5].notna().any() else ""
    if has_halves:
        clock += re.sub("[AaPp][Mm]", "%p", parts[6].dropna().iloc[0])
    return f"try_strptime({column}, '{date}{clock}')"
