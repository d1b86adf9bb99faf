"""Counters: a client's counts over short and long windows, computed in SQL."""

from ubp_platform.blocks.features import FeatureBlock
from ubp_platform.events.schema import EVENT_TYPES


class Counters(FeatureBlock):
    """Windowed and decayed counts, recency, sessions, variety, counts of the shop's top values.

    ``warehouse/sql/counters.sql`` computes them; ``docs/reference/counters.md`` defines each. The
    categories, clusters of names, pages, words and prices that have a counter of their own are
    chosen when the block is fitted, so that a column means the same at every later cutoff.
    """

    name = "counters"
    needs = EVENT_TYPES
    normalization = "log"
    fit_queries = ("counters_lists",)
