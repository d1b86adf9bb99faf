"""LightFM (paper, section 3.2.2): taste in products, with the text of products and queries.

Source: Kula, Metadata embeddings for user and item cold-start recommendations, CBRecSys 2015; the
loss is WARP (Weston, Bengio, Usunier, WSABIE, IJCAI 2011): a client's items must score above items
drawn at random, by a margin.

The representation of a product is its own embedding plus those of its name's codes; a client's is
its own embedding plus those of its queries' codes. Encoding reuses the representations of products
and the embeddings of query codes, and folds clients in: see :mod:`.fold_in`.
"""

from collections.abc import Mapping
from dataclasses import field
from typing import ClassVar

import numpy as np
from lightfm import LightFM
from pydantic import PositiveFloat, PositiveInt
from scipy import sparse
from threadpoolctl import threadpool_limits

from ubp_platform.blocks.base import Block
from ubp_platform.blocks.checkpoint import Checkpoint
from ubp_platform.blocks.lightfm_learner import LightFMFactors, LightFMLearner
from ubp_platform.blocks.parameters import Share
from ubp_platform.blocks.snapshot import Snapshot
from ubp_platform.blocks.state_arrays import Arrays
from ubp_platform.blocks.text_codes import Coding, code_features
from ubp_platform.blocks.trainer import Trainer
from ubp_platform.events.schema import PRODUCT_EVENTS
from ubp_platform.progress import ProgressFactory, logged
from ubp_platform.warehouse.history import History

WEIGHTS: Mapping[str, float] = {"product_buy": 1, "add_to_cart": 0.7, "remove_from_cart": -0.5}
# LightFM bounds the gradient of positive weights, but not of negative ones.
LOWEST_WEIGHT = -1.0
# Clients that are folded in at once.
_CLIENTS_PER_BATCH = 4096


class LightFMBlock(Block):
    """Client factors by LightFM with WARP over client × product, folded in.

    A purchase weighs 1, an addition to the cart 0.7, a removal −0.5, summed by client and product
    and bounded below by :data:`LOWEST_WEIGHT`. A product with a negative sum is pushed below others
    (by a negative sample weight; WARP would ignore a negative *interaction*).

    A client's vector depends only on its own events: its queries define a prior, its products are
    folded in by :func:`~ubp_platform.blocks.fold_in.fold_in`. Products that the fit did not see are
    ignored; a client without a known product is absent, even with queries.

    LightFM runs on one thread, because its lock-free threads are not deterministic.

    Parameters
    ----------
    components : int
        Width of the vector; 64 in the paper.
    items : int, optional
        Number of products to keep, those with most events; all by default.
    codes : {"indicators", "average"}
        Features of the codes of names and queries: one per (position, code), or, as in the paper,
        one per position, a number from 0 to 1 that is averaged over a client's queries.
    learning_rate : float
        Learning rate of Adagrad.
    max_epochs, patience, held_out
        As in :class:`~ubp_platform.blocks.sequence_block.SequenceBlock`; at most
        :data:`~ubp_platform.blocks.lightfm_learner.MAX_HELD_OUT` clients are held out.
    negatives : int
        Number of sampled products in the softmax of the fold-in.
    prior : float
        Strength of the prior that a client's queries define, in units of event weight.
    seed : int
        Seeds the initial embeddings, the negatives and the choice of held-out clients.

    Attributes
    ----------
    items_ : ndarray of int64, shape (n_items,)
        Ascending.
    factors_ : LightFMFactors
    """

    name = "lightfm"
    section = "3.2.2"
    needs = PRODUCT_EVENTS
    renamed: ClassVar[dict[str, str]] = {"rivals": "negatives"}
    presets = {  # noqa: RUF012
        "small": {"items": 20_000, "learning_rate": 0.02, "max_epochs": 8},
        "paper": {"items": 500_000},
    }

    components: PositiveInt = 64
    items: PositiveInt | None = None
    codes: Coding = "indicators"
    learning_rate: PositiveFloat = 0.01
    max_epochs: PositiveInt = 40
    patience: PositiveInt = 3
    held_out: Share = 0.1
    negatives: PositiveInt = 512
    prior: PositiveFloat = 4.0

    items_: np.ndarray = field(init=False, repr=False)
    factors_: LightFMFactors = field(init=False, repr=False)

    def _fit(self, history: History, progress: ProgressFactory, checkpoint: Checkpoint) -> None:
        known = np.sort(history.vocabulary("sku", self.items, PRODUCT_EVENTS).values)
        clients, weights = self._weights(history, known)
        if not len(clients):
            raise self.unavailable(history, "of a known product")
        used = np.unique(weights.indices)
        self.items_, weights = known[used], weights[:, used]
        names = code_features(history.table("product_names"), self.items_, self.codes)
        queries = self._queries(history, clients)
        self.report_.clients = len(clients)
        with threadpool_limits(1, "blas"):
            model = LightFM(
                self.components,
                loss="warp",
                learning_rate=self.learning_rate,
                random_state=self.seed,
            )
            learner = LightFMLearner(
                model,
                weights,
                names=names,
                queries=queries,
                seed=self.seed,
                held_out=self.held_out,
                negatives=self._negatives(),
                prior=self.prior,
            )
            trainer = Trainer(
                self.name, learner, self.report_, max_epochs=self.max_epochs, patience=self.patience
            )
            trainer.fit(progress, checkpoint)
        self.factors_ = learner.factors

    def encode(self, history: History, progress: ProgressFactory = logged) -> Snapshot:
        """Fold in each relevant client with an event of a known product."""
        clients, weights = self._weights(history, self.items_)
        count, negatives = len(clients), self._negatives()
        vectors = np.empty((count, self.components), dtype=np.float32)
        bar = progress(f"{self.name}: encode", count, "clients")
        with threadpool_limits(1, "blas"), bar as advance:
            for start in range(0, count, _CLIENTS_PER_BATCH):
                rows = slice(start, start + _CLIENTS_PER_BATCH)
                queries = self._queries(history, clients[rows])
                vectors[rows] = self.factors_.fold_in(weights[rows], queries, negatives, self.prior)
                advance(queries.shape[0])
        return Snapshot(history.cutoff, clients, vectors)

    def state(self) -> Arrays:  # noqa: D102
        return {"items": self.items_, **vars(self.factors_)}

    def restore(self, arrays: Arrays) -> None:  # noqa: D102
        self.items_, self.factors_ = arrays["items"], LightFMFactors.from_arrays(arrays)

    def _negatives(self) -> np.ndarray:
        """Draw the items of the fold-in's softmax: indices, ascending."""
        order = np.random.default_rng(self.seed).permutation(len(self.items_))
        return np.sort(order[: self.negatives])

    @staticmethod
    def _weights(history: History, items: np.ndarray) -> tuple[np.ndarray, sparse.csr_matrix]:
        interactions = history.interactions("sku", WEIGHTS, items)
        weights = interactions.matrix.copy()
        weights.data = np.maximum(weights.data, np.float32(LOWEST_WEIGHT))
        return interactions.client_ids, weights

    def _queries(self, history: History, clients: np.ndarray) -> sparse.csr_matrix:
        parts = []
        for start in range(0, len(clients), _CLIENTS_PER_BATCH):
            some = clients[start : start + _CLIENTS_PER_BATCH]
            table = history.table("query_codes", first=int(some[0]), last=int(some[-1]))
            parts.append(code_features(table, some, self.codes))
        return sparse.vstack(parts, format="csr")
