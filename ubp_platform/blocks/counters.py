"""Counters: named numbers of a client that change fast and slowly, computed in SQL."""

from ubp_platform.blocks.features import FeatureBlock
from ubp_platform.events.schema import EVENT_TYPES


class Counters(FeatureBlock):
    """Counts in windows and with weights that fade, recency, sessions, variety, top lists.

    ``warehouse/sql/counters.sql`` computes them; ``docs/reference/counters.md`` defines each. Which
    of the shop's categories, clusters of names, pages, words and prices have a counter of their own
    is decided when the block is fitted, so that a column means the same at every later cutoff.
    """

    name = "counters"
    needs = EVENT_TYPES
    normalization = "log"
    kept = ("counters_lists",)
