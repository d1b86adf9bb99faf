"""The five event types and the product properties: the one place that knows their columns.

Source: RecSys Challenge 2025 (paper, section 2). What values are allowed is not said here but in
the Great Expectations suites of ``expectations/``.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Kind = Literal["id", "whole", "time", "codes"]
IdKind = Literal["whole", "text"]

#: A quantized text embedding is so many codes of so many values each.
CODES, CODE_VALUES = 16, 256


@dataclass(frozen=True)
class Table:
    """A table of a delivery and of the warehouse.

    Parameters
    ----------
    name : str
        Also the stem of its file in the ``challenge`` layout.
    columns : Mapping of str to Kind
        Column names in order; a kind is ``id`` (the shop's, or its key: a 64-bit whole number),
        ``whole`` (such a number that is none), ``time`` (a timestamp, UTC) or ``codes`` (a
        quantized text embedding: 16 numbers of 0–255).
    """

    name: str
    columns: Mapping[str, Kind]

    @property
    def codes(self) -> str | None:
        """The column that holds text codes, if there is one."""
        return next((name for name, kind in self.columns.items() if kind == "codes"), None)


_ACTION: Mapping[str, Kind] = {"client_id": "id", "timestamp": "time", "sku": "id"}

# An event type's position is its code in sequences: append only.
EVENTS = (
    Table("product_buy", _ACTION),
    Table("add_to_cart", _ACTION),
    Table("remove_from_cart", _ACTION),
    Table("page_visit", {"client_id": "id", "timestamp": "time", "url": "id"}),
    Table("search_query", {"client_id": "id", "timestamp": "time", "query": "codes"}),
)
PRODUCTS = Table(
    "product_properties", {"sku": "id", "category": "id", "price": "whole", "name": "codes"}
)
TABLES = {table.name: table for table in (*EVENTS, PRODUCTS)}
EVENT_TYPES = tuple(table.name for table in EVENTS)
EVENT_CODES = {name: code for code, name in enumerate(EVENT_TYPES)}
PRODUCT_EVENTS = ("product_buy", "add_to_cart", "remove_from_cart")

#: The columns that hold ids, whatever the table.
ID_COLUMNS = ("client_id", "sku", "category", "url")

DUCKDB_TYPES: Mapping[Kind, str] = {
    "id": "BIGINT",
    "whole": "BIGINT",
    "time": "TIMESTAMP",
    "codes": "UTINYINT[]",
}
