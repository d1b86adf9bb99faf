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
from itertools import pairwise
from typing import Any, ClassVar

import numpy as np
from lightfm import LightFM
from pydantic import PositiveFloat, PositiveInt
from scipy import sparse
from threadpoolctl import threadpool_limits

from ubp_platform.blocks.base import Block
from ubp_platform.blocks.checkpoint import Checkpoint
from ubp_platform.blocks.fold_in import fold_in
from ubp_platform.blocks.parameters import Share
from ubp_platform.blocks.snapshot import Snapshot
from ubp_platform.blocks.state_arrays import Arrays, strip_prefix
from ubp_platform.blocks.text_codes import Coding, code_features
from ubp_platform.blocks.trainer import Trainer
from ubp_platform.events.schema import PRODUCT_EVENTS
from ubp_platform.progress import Advance, ProgressFactory, silent
from ubp_platform.warehouse.history import History

WEIGHTS: Mapping[str, float] = {"product_buy": 1, "add_to_cart": 0.7, "remove_from_cart": -0.5}
# LightFM bounds the gradient of positive weights, but not of negative ones.
LOWEST_WEIGHT = -1.0
# Clients that are folded in at once.
_CLIENTS_PER_BATCH = 4096
#: Limits of the held-out clients, and of the random items that their items are ranked against.
MAX_HELD_OUT = 1000
MAX_RANKED_AGAINST = 1000

_EMBEDDINGS = ("item_embedding", "item_bias", "user_embedding", "user_bias")


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
    max_epochs : int
    patience : int
        Epochs without a better validation loss after which training ends.
    held_out : float
        Share of the clients that are held out for validation, at most :data:`MAX_HELD_OUT`.
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
    item_representations_ : ndarray of float32, shape (n_items, components)
    item_biases_ : ndarray of float32, shape (n_items,)
    query_embeddings_ : ndarray of float32, shape (n_query_features, components)
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
    item_representations_: np.ndarray = field(init=False, repr=False)
    item_biases_: np.ndarray = field(init=False, repr=False)
    query_embeddings_: np.ndarray = field(init=False, repr=False)

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
            learner = LightFMLearner(self, weights, names, queries)
            trainer = Trainer(
                self.name,
                learner,
                self.report_,
                max_epochs=self.max_epochs,
                patience=self.patience,
            )
            trainer.fit(progress, checkpoint)

    def encode(self, history: History, progress: ProgressFactory = silent) -> Snapshot:
        """Fold in each relevant client with an event of a known product."""
        clients, weights = self._weights(history, self.items_)
        count = len(clients)
        vectors = np.empty((count, self.components), dtype=np.float32)
        bar = progress(f"{self.name}: encode", count, "clients")
        with threadpool_limits(1, "blas"), bar as advance:
            for start in range(0, count, _CLIENTS_PER_BATCH):
                rows = slice(start, start + _CLIENTS_PER_BATCH)
                queries = self._queries(history, clients[rows])
                vectors[rows] = self.fold_in(weights[rows], queries)
                advance(queries.shape[0])
        return Snapshot(history.cutoff, clients, vectors)

    def fold_in(self, weights: sparse.csr_matrix, queries: sparse.csr_matrix) -> np.ndarray:
        """Fold clients into the fitted items, from their item weights and query features.

        Returns their vectors: float64, shape (n_clients, components).
        """
        rng = np.random.default_rng(self.seed)
        return fold_in(
            weights,
            prior=queries @ self.query_embeddings_.astype(np.float64),
            items=self.item_representations_,
            biases=self.item_biases_,
            negatives=np.sort(rng.permutation(len(self.items_))[: self.negatives]),
            strength=self.prior,
        )

    def state(self) -> Arrays:  # noqa: D102
        return {
            "items": self.items_,
            "item_representations": self.item_representations_,
            "item_biases": self.item_biases_,
            "query_embeddings": self.query_embeddings_,
        }

    def restore(self, arrays: Arrays) -> None:  # noqa: D102
        self.items_ = arrays["items"]
        self.item_representations_ = arrays["item_representations"]
        self.item_biases_ = arrays["item_biases"]
        self.query_embeddings_ = arrays["query_embeddings"]

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


class LightFMLearner:
    """LightFM's epochs; held-out clients validate each.

    Held-out clients are folded in with half of their positive items; the loss is 1 − AUC, the share
    of pairs of an item of the other half and a random item that are ranked in the wrong order.

    Parameters
    ----------
    block : LightFMBlock
        Has its items; receives the rest of its fitted state.
    weights : csr_matrix of float32, shape (n_clients, n_items)
    names : csr_matrix of float32, shape (n_items, n_name_features)
    queries : csr_matrix of float32, shape (n_clients, n_query_features)
    """

    unit = "interactions"

    def __init__(
        self,
        block: LightFMBlock,
        weights: sparse.csr_matrix,
        names: sparse.csr_matrix,
        queries: sparse.csr_matrix,
    ) -> None:
        self._block = block
        rng = np.random.default_rng(block.seed)
        clients = rng.permutation(weights.shape[0])
        # With very few clients none is held out, and the training clients validate.
        held_out = clients[: min(int(block.held_out * len(clients)), MAX_HELD_OUT)]
        training = np.sort(clients[len(held_out) :])
        held_out = np.sort(held_out if len(held_out) else training[:MAX_HELD_OUT])
        self._validation_queries = queries[held_out]
        self._visible, self._hidden = _split(weights[held_out], rng)
        self._against = rng.permutation(weights.shape[1])[:MAX_RANKED_AGAINST]

        self._sample_weights = weights[training].tocoo()
        self._interactions = self._sample_weights.copy()
        self._interactions.data = np.ones_like(self._sample_weights.data)
        self.epoch_size = float(self._interactions.nnz)
        self._known_codes = np.diff(queries[training].tocsc().indptr) > 0
        self._clients = _with_identity(queries[training])
        self._items = _with_identity(names)
        self._model = LightFM(
            block.components,
            loss="warp",
            learning_rate=block.learning_rate,
            random_state=block.seed,
        )

    def epoch(self, advance: Advance) -> dict[str, float]:
        """Train on each interaction once, then validate; NaN where the weights are not finite."""
        try:
            with np.errstate(invalid="ignore"):
                self._model.fit_partial(
                    self._interactions,
                    user_features=self._clients,
                    item_features=self._items,
                    sample_weight=self._sample_weights,
                    num_threads=1,
                )
        except ValueError as error:
            if "finite" not in str(error):
                raise
            return {"validation": float("nan")}
        advance(self.epoch_size)
        block = self._block
        block.item_representations_ = self._items @ self._model.item_embeddings
        block.item_biases_ = self._items @ self._model.item_biases
        # Codes that no training client has searched for still have their random embedding.
        embeddings = self._model.user_embeddings[: len(self._known_codes)]
        block.query_embeddings_ = np.where(self._known_codes[:, None], embeddings, np.float32(0))
        return {"validation": self._validation_loss()}

    def _validation_loss(self) -> float:
        block = self._block
        vectors = block.fold_in(self._visible, self._validation_queries)
        items, biases = block.item_representations_, block.item_biases_
        random = vectors @ items[self._against].T.astype(np.float64) + biases[self._against]
        random.sort(axis=1)
        errors = []
        for client, scores in enumerate(random):
            hidden = self._hidden[client].indices
            own = items[hidden] @ vectors[client] + biases[hidden]
            # A tie counts as half an error.
            ranks = np.searchsorted(scores, own, "left") + np.searchsorted(scores, own, "right")
            errors.append(1 - ranks / (2 * len(scores)))
        return float(np.concatenate(errors).mean())

    def weights(self) -> Arrays:
        """Return the block's state; each epoch makes new arrays."""
        return self._block.state()

    def load_weights(self, weights: Arrays) -> None:
        """Restore the block's state."""
        self._block.restore(weights)

    def state(self) -> tuple[Arrays, dict[str, Any]]:
        """Return the embeddings, their gradients and the state of the random generator."""
        random = self._model.random_state.get_state(legacy=False)
        arrays = {"random.key": random["state"].pop("key")}
        for name in _EMBEDDINGS:
            values = "es" if name.endswith("bias") else "s"
            arrays[f"model.{name}{values}"] = getattr(self._model, f"{name}{values}")
            arrays[f"model.{name}_gradients"] = getattr(self._model, f"{name}_gradients")
        return arrays, {"random": random}

    def restore(self, arrays: Arrays, metadata: dict[str, Any]) -> None:
        """Restore what :meth:`state` returned."""
        for name, array in strip_prefix(arrays, "model").items():
            setattr(self._model, name, array)
        for name in _EMBEDDINGS:
            # Only Adadelta has a momentum.
            gradients = getattr(self._model, f"{name}_gradients")
            setattr(self._model, f"{name}_momentum", np.zeros_like(gradients))
        metadata["random"]["state"]["key"] = arrays["random.key"]
        self._model.random_state.set_state(metadata["random"])


def _with_identity(features: sparse.csr_matrix) -> sparse.csr_matrix:
    """Add a feature of its own to each row."""
    identity = sparse.identity(features.shape[0], dtype=np.float32)
    return sparse.hstack([features, identity], format="csr")


def _split(
    weights: sparse.csr_matrix, rng: np.random.Generator
) -> tuple[sparse.csr_matrix, sparse.csr_matrix]:
    """Hide half of each client's positive items; returns the visible and the hidden weights.

    Where no client has two, nothing can be hidden, and both are all weights.
    """
    hidden = np.zeros(weights.nnz, dtype=bool)
    for start, end in pairwise(weights.indptr):
        positive = start + np.flatnonzero(weights.data[start:end] > 0)
        hidden[rng.permutation(positive)[1::2]] = True
    if not hidden.any():
        return weights, weights
    return _where(~hidden, weights), _where(hidden, weights)


def _where(condition: np.ndarray, weights: sparse.csr_matrix) -> sparse.csr_matrix:
    part = weights.copy()
    part.data = np.where(condition, part.data, 0)
    part.eliminate_zeros()
    return part
