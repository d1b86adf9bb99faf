"""The DuckDB warehouse: landing of batches, and histories strictly before a cutoff."""

from ubp_platform.warehouse.arrays import Interactions, Sequences, Vocabulary
from ubp_platform.warehouse.history import History
from ubp_platform.warehouse.warehouse import Warehouse

__all__ = ["History", "Interactions", "Sequences", "Vocabulary", "Warehouse"]
