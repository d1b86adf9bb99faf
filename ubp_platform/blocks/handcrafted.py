"""Handcrafted features (paper, section 3.2.5): 42 named numbers a client, computed in SQL."""

from typing import ClassVar, Literal

import numpy as np

from ubp_platform.blocks.base import Block
from ubp_platform.blocks.checkpoint import Checkpoint
from ubp_platform.blocks.snapshot import Snapshot
from ubp_platform.errors import BlockUnavailable
from ubp_platform.progress import ProgressFactory, silent
from ubp_platform.warehouse.history import History

_RHYTHM = (
    "total",
    "7d",
    "30d",
    "change_7d",
    "change_30d",
    "interval_days",
    "first_days",
    "last_days",
)
NAMES = (
    *(f"buy_{feature}" for feature in _RHYTHM),
    *(f"add_{feature}" for feature in _RHYTHM),
    *(f"visit_{feature}" for feature in _RHYTHM),
    "remove_total",
    "remove_7d",
    "remove_30d",
    "remove_change_30d",
    "remove_last_days",
    "distinct_skus",
    "distinct_categories",
    "distinct_urls",
    "sku_popularity",
    "url_popularity",
    "price_mean",
    "price_std",
    "price_total",
    "cart_abandonment",
    "added_skus_bought",
    "added_categories_bought",
    "active_weeks",
    "active_days",
)


class Handcrafted(Block):
    """Counts, changes, rhythms, variety, prices and abandoned carts of a client.

    ``docs/features.md`` defines each feature and what stands for an undefined value. There is
    nothing to learn: a fit only notes how many clients there are.

    Examples
    --------
    >>> len(NAMES), NAMES[:3]
    (42, ('buy_total', 'buy_7d', 'buy_30d'))
    """

    name = "handcrafted"
    section = "3.2.5"
    needs = ("product_buy", "add_to_cart", "remove_from_cart", "page_visit")
    normalization: ClassVar[Literal["unit", "quantile"]] = "quantile"

    def _fit(self, history: History, progress: ProgressFactory, checkpoint: Checkpoint) -> None:
        self.report_.clients = history.table("handcrafted_clients")["clients"][0].as_py()
        if not self.report_.clients:
            raise BlockUnavailable(
                f"no relevant client has a {' or '.join(self.needs)} event before "
                f"{history.cutoff:%Y-%m-%d %H:%M:%S}"
            )

    def encode(self, history: History, progress: ProgressFactory = silent) -> Snapshot:
        """Compute the features of each relevant client with an event of the four types."""
        with progress("handcrafted: encode", None, "clients") as advance:
            table = history.table("handcrafted")
            advance(table.num_rows)
        vectors = np.empty((table.num_rows, len(NAMES)), dtype=np.float32)
        for column, feature in enumerate(NAMES):
            vectors[:, column] = table[feature].to_numpy()
        return Snapshot(history.cutoff, table["client_id"].to_numpy(), vectors, NAMES)

    def state(self) -> dict[str, np.ndarray]:
        """Give nothing: the features are their definition."""
        return {}

    def restore(self, arrays: dict[str, np.ndarray]) -> None:
        """Take nothing back."""
