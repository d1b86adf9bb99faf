"""The DuckDB warehouse: batches land in it, and histories read it strictly before a cutoff."""

from ubp_platform.warehouse.history import History
from ubp_platform.warehouse.interactions import Interactions
from ubp_platform.warehouse.sequences import Sequences, Vocabulary
from ubp_platform.warehouse.warehouse import Warehouse

__all__ = ["History", "Interactions", "Sequences", "Vocabulary", "Warehouse"]
