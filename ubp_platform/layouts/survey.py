"""Looking at files nobody has described: which go together, and what their columns seem to hold."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import duckdb
import pandas as pd

from ubp_platform.errors import UBPError
from ubp_platform.layouts.description import PACKED, SUFFIXES, Format, Relation
from ubp_platform.layouts.reader import first_line_of, reading, require_content, unreadable
from ubp_platform.layouts.source import Source

# Rows of a family that are looked at, and files that they are of.
_ROWS, _FILES = 20_000, 40
# Values of a column that may be kinds of events, at most.
_KINDS = 40
#: What a column is called that has a role, as parts of its name: in English, and as German, French,
#: Spanish and Dutch shops say it. The first role that fits.
_CALLED: Mapping[str, str] = {
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
# What the column with the kind of event is called, and some kinds are, in all shops.
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
        DuckDB's.
    example : str
        The first value.
    role : str
        What it seems to hold, such as ``client``; empty where nothing shows it.
    reading : str
        For a time and a number: the SQL that reads it.
    kinds : tuple of str
        Of a column that seems to say what kind of event a row is: its values.
    """

    name: str
    type: str
    example: str
    role: str = ""
    reading: str = ""
    kinds: tuple[str, ...] = ()


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
        How they are read.
    columns : tuple of Column
    """

    name: str
    files: tuple[str, ...]
    relation: Relation
    columns: tuple[Column, ...]

    def having(self, role: str) -> Column | None:
        """Give the column of a role, the first one."""
        return next((column for column in self.columns if column.role == role), None)


def survey(source: Source) -> list[Family]:
    """Look at all files of a source.

    Raises
    ------
    UBPError
        If none of them is CSV, NDJSON or Parquet, or one cannot be read.
    """
    groups: dict[tuple[object, ...], list[str]] = {}
    read: dict[tuple[object, ...], Relation] = {}
    with duckdb.connect(":memory:") as connection:
        connection.execute("SET TimeZone = 'UTC'")
        for below, path in source.files.items():
            kind = _format(below)
            if kind is None:
                continue
            relation = _relation(below, path, kind)
            # A tree with values in its folders' names is one, whatever columns came later.
            columns = () if relation.hive else _read(connection, relation, [path]).columns
            key = (kind, relation.delimiter, relation.hive, *columns)
            groups.setdefault(key, []).append(below)
            read.setdefault(key, relation)
        if not groups:
            raise UBPError(
                f"{source.path} holds no file that is called as CSV, NDJSON or Parquet are: "
                f"{', '.join([*source.files][:5])}"
            )
        families: list[Family] = []
        for key, files in groups.items():
            some = files[:: -(-len(files) // _FILES)]
            rows = _read(connection, read[key], [source.files[below] for below in some])
            taken = [*rows.columns, *(family.name for family in families)]
            name = _unlike(_name(files), taken)
            relation = read[key].model_copy(update={"files": _patterns(files)})
            sample = f"USING SAMPLE reservoir({_ROWS} ROWS) REPEATABLE (0)"
            found = connection.execute(f"FROM ({rows.sql_query()}) {sample}").df()
            types = dict(zip(rows.columns, map(str, rows.types), strict=True))
            found = found.drop(columns=["_file", "_row"], errors="ignore")
            if relation.format == "ndjson":
                fields = {name: _field(types[name]) for name in found.columns}
                relation = relation.model_copy(update={"types": fields})
            families.append(Family(name, tuple(files), relation, tuple(_columns(found, types))))
    return families


def named(column: str) -> str:
    """Write the name of a column in SQL."""
    simple = re.fullmatch("[a-z_][a-z0-9_]*", column) and column not in _keywords()
    return column if simple else '"' + column.replace('"', '""') + '"'


@cache
def _keywords() -> frozenset[str]:
    with duckdb.connect(":memory:") as connection:
        rows = connection.execute("SELECT keyword_name FROM duckdb_keywords()").fetchall()
    return frozenset(name for (name,) in rows)


def _field(type_: str) -> str:
    """Give the type to read a field of NDJSON as: what is no structure is text, as it stands."""
    return type_ if "(" in type_ or type_.endswith("]") or type_ == "JSON" else "VARCHAR"


def _format(below: str) -> Format | None:
    name = below.lower()
    for suffix in PACKED:
        name = name.removesuffix(suffix)
    return next((kind for kind, ends in SUFFIXES.items() if name.endswith(ends)), None)


def _relation(below: str, path: Path, kind: Format) -> Relation:
    hive = "=" in below.rpartition("/")[0]
    delimiter = ","
    if kind == "csv":
        require_content([path])
        with duckdb.connect(":memory:") as connection:
            header = first_line_of(connection, path)
        delimiter = max(",;\t|", key=lambda sign: header.count(sign))
    return Relation(files=[below], format=kind, delimiter=delimiter, hive=hive)


def _read(
    connection: duckdb.DuckDBPyConnection, relation: Relation, paths: list[Path]
) -> duckdb.DuckDBPyRelation:
    require_content(paths)
    try:
        return connection.sql(reading(connection, relation, paths))
    except duckdb.Error as error:
        raise unreadable(paths, relation, error) from None


def _name(files: list[str]) -> str:
    """Name a family after what its files' names have in common, or their folder."""
    words = re.sub(r"[^a-z]+", "_", _common(files).lower()).strip("_")
    if words in ("", "part", "data"):
        folder = files[0].rpartition("/")[0].split("/")[0].split("=")[0]
        words = re.sub(r"[^a-z]+", "_", folder.lower()).strip("_")
    return words or "events"


def _unlike(name: str, taken: list[str]) -> str:
    if name in taken or name in _keywords():
        name = "events"
    number, first = 2, name
    while name in taken:
        name, number = f"{first}_{number}", number + 1
    return name


def _common(files: list[str]) -> str:
    """Give how all files' names begin, without what follows the first full stop."""
    stems = [file.rpartition("/")[2].partition(".")[0] for file in files]
    common = stems[0]
    for stem in stems[1:]:
        while not stem.startswith(common):
            common = common[:-1]
    return common


def _patterns(files: list[str]) -> list[str]:
    """Write patterns that name these files, and tomorrow's."""
    if len(files) == 1:
        return [files[0]]
    suffix = next(end for ends in SUFFIXES.values() for end in ends if end in files[0].lower())
    return [f"**/{re.sub('[0-9].*$', '', _common(files))}*{suffix}"]


def _columns(frame: pd.DataFrame, types: dict[str, str]) -> Iterator[Column]:
    taken: set[str] = set()
    for name in frame.columns:
        values = frame[name].dropna()
        text = values.astype(str)
        text = text[text.str.strip() != ""]
        example = text.iloc[0] if len(text) else ""
        role, how, kinds = _role(str(name), text, types[str(name)])
        if role in taken:
            role, how, kinds = "", "", ()
        if role:
            taken.add(role)
        yield Column(str(name), types[str(name)], example, role, how, kinds)


def _role(name: str, text: pd.Series, type_: str) -> tuple[str, str, tuple[str, ...]]:
    called = name.lower()
    if type_.startswith(("STRUCT", "MAP", "JSON", "BOOLEAN")) or type_.endswith("]"):
        return "", "", ()  # its fields may be ids, it is none
    time = _time(name, text, type_)
    if time and (re.search(_CALLED["time"], called) or not text.str.fullmatch(r"\d+").all()):
        return "time", time, ()
    if re.search(_KIND, called) and len(text):
        kinds = tuple(text.value_counts().index[:_KINDS])
        few = text.nunique() <= _KINDS and text.str.len().max() <= 40
        if few and any(re.search(_EVENTS, kind.lower()) for kind in kinds):
            return "kind", "", kinds
    for role, pattern in _CALLED.items():
        if role == "time" or not re.search(pattern, called):
            continue
        if role in ("price", "quantity"):
            if number := _number(name, text):
                return role, number, ()
            continue
        if role == "name" and re.search(r"file|first|last|user", called):
            continue
        return role, "", ()
    return "", "", ()


def _number(name: str, text: pd.Series) -> str:
    """Write how a number is read; nothing where it looks like none."""
    column = named(name)
    forms = {
        r"-?\d+([.]\d+)?": column,
        r"-?\d+(,\d+)?": f"replace({column}, ',', '.')",
        r"-?\d{1,3}([.]\d{3})*(,\d+)?": f"replace(replace({column}, '.', ''), ',', '.')",
        r"-?\d{1,3}(,\d{3})*([.]\d+)?": f"replace({column}, ',', '')",
    }
    return next(
        (how for form, how in forms.items() if len(text) and text.str.fullmatch(form).mean() > 0.9),
        "",
    )


def _time(name: str, text: pd.Series, type_: str) -> str:
    """Write how a time is read; nothing where it looks like none."""
    column = named(name)
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
    halves = parts[6].notna().any()
    clock = (" %I:%M" if halves else " %H:%M") if parts[4].notna().any() else ""
    clock += ":%S" if parts[5].notna().any() else ""
    clock += (
        parts[6].dropna().iloc[0].upper().replace("AM", "%p").replace("PM", "%p") if halves else ""
    )
    return f"try_strptime({column}, '{date}{clock}')"
