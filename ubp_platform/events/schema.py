"""The five event types and the product properties: the only place that defines their columns.

Source: RecSys Challenge 2025 (paper, section 2). Which values are allowed is defined by the Great
Expectations suites in ``expectations/``.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

#: The kinds of columns that blocks compute with.
Kind = Literal["id", "price", "time", "codes"]
#: The kinds of further columns that the warehouse keeps.
Detail = Literal["amount", "words", "moment"]
#: What a shop's column holds, decided at its first landing: ids, prices and texts come in two kinds
#: each.
ColumnKind = Literal["whole", "text", "bucket", "money", "codes", "words"]

#: The number of codes in a quantized text embedding, and the number of values of each code.
CODES, CODE_VALUES = 16, 256
#: The number of price buckets.
BUCKETS = 100


@dataclass(frozen=True)
class Table:
    """A table of a delivery and of the warehouse.

    Parameters
    ----------
    name : str
        Also the stem of its file in the ``challenge`` layout.
    columns : Mapping of str to Kind
        Column names in order; a kind is ``id`` (the shop's id, or its key: a 64-bit integer),
        ``price`` (a bucket), ``time`` (a timestamp, UTC) or ``codes`` (a quantized text embedding:
        16 integers of 0–255).
    optional : tuple of str
        Columns that may be missing from a delivery or empty in a row.
    details : Mapping of str to Detail
        Further columns, where the shop has them: amounts of money or pieces (``amount``), and
        words. For an event they are columns of its delivery; ``money`` and ``words`` of a product
        or a query are its price and its text before conversion to a bucket and codes.
        ``known_from`` (a ``moment``) is when the client of the event first became known, where
        that is later than the event, for example at a login; ``delivered_at``, when the event
        became known at all, where that is not when its batch was delivered. ``valid_from`` is the
        time from which a product's properties hold.
    """

    name: str
    columns: Mapping[str, Kind]
    optional: tuple[str, ...] = ()
    details: Mapping[str, Detail] = field(default_factory=dict)

    @property
    def codes(self) -> str | None:
        """The column that holds text codes, if there is one."""
        return next((name for name, kind in self.columns.items() if kind == "codes"), None)

    @property
    def required(self) -> tuple[str, ...]:
        """The columns that every delivery has, filled in every row."""
        return tuple(name for name in self.columns if name not in self.optional)

    @property
    def item(self) -> str:
        """The column of an event type that says what the client touched."""
        return next(name for name in self.columns if name not in ("client_id", "timestamp"))

    @property
    def identity(self) -> tuple[str, ...]:
        """The columns in which two rows agree if they are of the same event."""
        return tuple(name for name in self.stored if name != "delivered_at")

    @property
    def fillable(self) -> tuple[str, ...]:
        """The columns of a delivery that may be missing, or empty in a row."""
        own = (name for name in self.details if name not in ("money", "words"))
        return (*self.optional, *own)

    @property
    def kinds(self) -> Mapping[str, Kind | Detail]:
        """The kinds of all columns of the warehouse's table."""
        return {**self.columns, **self.details}

    @property
    def stored(self) -> Mapping[str, str]:
        """All columns of the warehouse's table, with their DuckDB types."""
        return {name: DUCKDB_TYPES[kind] for name, kind in self.kinds.items()}


_ACTION: Mapping[str, Kind] = {"client_id": "id", "timestamp": "time", "sku": "id"}
_KNOWN: Mapping[str, Detail] = {"known_from": "moment", "delivered_at": "moment"}
_SALE: Mapping[str, Detail] = {"price": "amount", "quantity": "amount", **_KNOWN}

# An event type's position is its code in sequences: append only.
EVENTS = (
    Table("product_buy", _ACTION, details=_SALE),
    Table("add_to_cart", _ACTION, details=_SALE),
    Table("remove_from_cart", _ACTION, details=_SALE),
    Table("page_visit", {"client_id": "id", "timestamp": "time", "url": "id"}, details=_KNOWN),
    Table(
        "search_query",
        {"client_id": "id", "timestamp": "time", "query": "codes"},
        details={"words": "words", **_KNOWN},
    ),
)
PRODUCTS = Table(
    "product_properties",
    {"sku": "id", "category": "id", "price": "price", "name": "codes"},
    optional=("category", "price", "name"),
    details={"money": "amount", "words": "words", "valid_from": "moment"},
)
TABLES = {table.name: table for table in (*EVENTS, PRODUCTS)}
EVENT_TYPES = tuple(table.name for table in EVENTS)
EVENT_CODES = {name: code for code, name in enumerate(EVENT_TYPES)}
#: The events that name a product.
PRODUCT_EVENTS = ("product_buy", "add_to_cart", "remove_from_cart")
#: The columns that hold ids, in any table.
ID_COLUMNS = ("client_id", "sku", "category", "url")

DUCKDB_TYPES: Mapping[Kind | Detail, str] = {
    "id": "BIGINT",
    "price": "BIGINT",
    "time": "TIMESTAMP",
    "codes": "UTINYINT[]",
    "amount": "DOUBLE",
    "words": "VARCHAR",
    "moment": "TIMESTAMP",
}


def event_codes(event_types: Iterable[str]) -> list[int]:
    """Return the codes of event types."""
    return [EVENT_CODES[name] for name in event_types]
