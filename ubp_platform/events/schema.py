"""The five event types and the product properties: the one place that knows their columns.

Source: RecSys Challenge 2025 (paper, section 2). What values are allowed is not said here but in
the Great Expectations suites of ``expectations/``.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

#: What blocks compute with.
Kind = Literal["id", "price", "time", "codes"]
#: What else a shop has, and the warehouse keeps beside it.
Detail = Literal["amount", "words", "moment"]
#: What a shop's column holds, decided at its first landing: ids and prices and texts come in two
#: kinds each.
ColumnKind = Literal["whole", "text", "bucket", "money", "codes", "words"]

#: A quantized text embedding is so many codes of so many values each.
CODES, CODE_VALUES = 16, 256
#: Prices are told apart in so many buckets.
BUCKETS = 100


@dataclass(frozen=True)
class Table:
    """A table of a delivery and of the warehouse.

    Parameters
    ----------
    name : str
        Also the stem of its file in the ``challenge`` layout.
    columns : Mapping of str to Kind
        Column names in order; a kind is ``id`` (the shop's, or its key: a 64-bit whole number),
        ``price`` (a bucket), ``time`` (a timestamp, UTC) or ``codes`` (a quantized text embedding:
        16 numbers of 0–255).
    optional : tuple of str
        Columns that a delivery need not have, and rows need not fill.
    details : Mapping of str to Detail
        What the warehouse keeps besides, where the shop has it: amounts of money or pieces
        (``amount``), and words. An event's are columns of its delivery; ``money`` and ``words`` of
        a product or a query are its price and its text before they became bucket and codes.
        ``known_from`` (a ``moment``) is when it first could be known whose event it is, where that
        is later than the event: at a login, say.
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
    def fillable(self) -> tuple[str, ...]:
        """The columns of a delivery that may be missing, or empty in a row."""
        own = (name for name in self.details if name not in ("money", "words"))
        return (*self.optional, *own)

    @property
    def kinds(self) -> Mapping[str, Kind | Detail]:
        """Of all columns of the warehouse's table."""
        return {**self.columns, **self.details}

    @property
    def stored(self) -> Mapping[str, str]:
        """All columns of the warehouse's table, with their DuckDB types."""
        return {name: DUCKDB_TYPES[kind] for name, kind in self.kinds.items()}


_ACTION: Mapping[str, Kind] = {"client_id": "id", "timestamp": "time", "sku": "id"}
_KNOWN: Mapping[str, Detail] = {"known_from": "moment"}
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
    details={"money": "amount", "words": "words"},
)
TABLES = {table.name: table for table in (*EVENTS, PRODUCTS)}
EVENT_TYPES = tuple(table.name for table in EVENTS)
EVENT_CODES = {name: code for code, name in enumerate(EVENT_TYPES)}
PRODUCT_EVENTS = ("product_buy", "add_to_cart", "remove_from_cart")
#: The columns that hold ids, whatever the table.
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
