"""LightFM (paper, section 3.2.2): taste in products, helped by what products and queries say.

Source: Kula, Metadata embeddings for user and item cold-start recommendations, CBRecSys 2015; the
loss is WARP (Weston, Bengio, Usunier, WSABIE, IJCAI 2011): an item that a client liked has to score
above items drawn at random, by a margin.

The representation of a product is the embedding of the product itself plus those of its name's
codes; a client's is that of the client plus those of its queries' codes. Encoding takes the
products and the queries' codes from the fit, but not the clients: see :mod:`.fold_in`.
"""

from collections.abc import Mapping
from dataclasses import field
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
from ubp_platform.blocks.text_codes import Coding, code_features
from ubp_platform.blocks.trainer import Arrays, Trainer
from ubp_platform.events.schema import PRODUCT_EVENTS
from ubp_platform.progress import Advance, ProgressFactory, silent
from ubp_platform.warehouse.history import History

WEIGHTS: Mapping[str, float] = {"product_buy": 1, "add_to_cart": 0.7, "remove_from_cart": -0.5}
# LightFM bounds the gradient of a positive weight, not that of a negative one.
LOWEST_WEIGHT = -1.0
CLIENTS_PER_SLICE = 4096
#: Held-out clients, and items that theirs are ranked against: more would not tell much more.
MAX_HELD_OUT = 1000
MAX_RANKED_AGAINST = 1000

_EMBEDDINGS = ("item_embedding", "item_bias", "user_embedding", "user_bias")


class LightFMBlock(Block):
    """Factors of clients by LightFM with WARP over client × product, folded in.

    A purchase weighs 1, an addition to the cart 0.7, a removal −0.5, summed by client and product.
    Where the sum is negative the product is pushed below others (a negative sample weight; a
    negative *interaction* WARP would ignore); the sum is not let below :data:`LOWEST_WEIGHT`.

    A client's vector depends on its own events alone: its queries give a prior, its products are
    added by :func:`~ubp_platform.blocks.fold_in.fold_in`. Products that the fit did not see are
    ignored; a client without a known product is absent, queries or not.

    LightFM runs on one thread: its lock-free threads do not give the same fit twice.

    Parameters
    ----------
    components : int
        Width of the vector; 64 in the paper.
    items : int, optional
        How many products are known, those of most events; all by default.
    codes : {"indicators", "average"}
        How the codes of names and queries become features: each (position, code) one of its own, or
        each position a number from 0 to 1, averaged over a client's queries (the paper's way).
    learning_rate : float
        Of Adagrad.
    max_epochs : int
    patience : int
        Epochs without a better validation loss after which training ends.
    held_out : float
        Share of the clients that validate and do not train, at most :data:`MAX_HELD_OUT`.
    negatives : int
        How many products a client's own have to stand out from when it is encoded.
    prior : float
        How much event weight it takes to outweigh what a client's queries say of it.
    seed : int
        Of the embeddings' first values, the negatives and who is held out.

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
    presets: ClassVar[dict[str, dict[str, Any]]] = {
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
        touched = np.unique(weights.indices)
        self.items_, weights = known[touched], weights[:, touched]
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
        with (
            threadpool_limits(1, "blas"),
            progress(f"{self.name}: encode", count, "clients") as advance,
        ):
            for start in range(0, count, CLIENTS_PER_SLICE):
                rows = slice(start, start + CLIENTS_PER_SLICE)
                queries = self._queries(history, clients[rows])
                vectors[rows] = self.fold_in(weights[rows], queries)
                advance(queries.shape[0])
        return Snapshot(history.cutoff, clients, vectors)

    def fold_in(self, weights: sparse.csr_matrix, queries: sparse.csr_matrix) -> np.ndarray:
        """Place clients among the fitted items.

        Parameters
        ----------
        weights : csr_matrix, shape (n_clients, n_items)
        queries : csr_matrix, shape (n_clients, n_query_features)

        Returns
        -------
        ndarray of float64, shape (n_clients, components)
        """
        rng = np.random.default_rng(self.seed)
        negatives = np.sort(rng.permutation(len(self.items_))[: self.negatives])
        return fold_in(
            weights,
            queries @ self.query_embeddings_.astype(np.float64),
            self.item_representations_,
            self.item_biases_,
            negatives,
            self.prior,
        )

    def state(self) -> dict[str, np.ndarray]:
        """Give the items, their representations and biases, and the queries' embeddings."""
        return {
            "items": self.items_,
            "item_representations": self.item_representations_,
            "item_biases": self.item_biases_,
            "query_embeddings": self.query_embeddings_,
        }

    def restore(self, arrays: dict[str, np.ndarray]) -> None:
        """Take back what :meth:`state` gave."""
        self.items_ = arrays["items"]
        self.item_representations_ = arrays["item_representations"]
        self.item_biases_ = arrays["item_biases"]
        self.query_embeddings_ = arrays["query_embeddings"]

    @staticmethod
    def _weights(history: History, items: np.ndarray) -> tuple[np.ndarray, sparse.csr_matrix]:
        found = history.interactions("sku", WEIGHTS, items)
        weights = found.matrix.copy()
        weights.data = np.maximum(weights.data, np.float32(LOWEST_WEIGHT))
        return found.client_ids, weights

    def _queries(self, history: History, clients: np.ndarray) -> sparse.csr_matrix:
        parts = []
        for start in range(0, len(clients), CLIENTS_PER_SLICE):
            some = clients[start : start + CLIENTS_PER_SLICE]
            table = history.table("query_codes", first=int(some[0]), last=int(some[-1]))
            parts.append(code_features(table, some, self.codes))
        return sparse.vstack(parts, format="csr")


class LightFMLearner:
    """LightFM's epochs; held-out clients validate each.

    They are folded in with half of what they liked; the loss is 1 − AUC, the share of pairs of a
    liked item of the other half and a random item that are ranked the wrong way round.

    Parameters
    ----------
    block : LightFMBlock
        With its items; gets the rest of its fitted state.
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
        # Of very few clients none is held out, and those who train validate.
        held_out = clients[: min(int(block.held_out * len(clients)), MAX_HELD_OUT)]
        training = np.sort(clients[len(held_out) :])
        held_out = np.sort(held_out if len(held_out) else training[:MAX_HELD_OUT])
        self._validation_queries = queries[held_out]
        self._given, self._hidden = _split(weights[held_out], rng)
        self._against = rng.permutation(weights.shape[1])[:MAX_RANKED_AGAINST]

        self._sample_weight = weights[training].tocoo()
        self._interactions = self._sample_weight.copy()
        self._interactions.data = np.ones_like(self._sample_weight.data)
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
                    sample_weight=self._sample_weight,
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
        # Codes that no training client has searched for still have a random embedding.
        embeddings = self._model.user_embeddings[: len(self._known_codes)]
        block.query_embeddings_ = np.where(self._known_codes[:, None], embeddings, np.float32(0))
        return {"validation": self._validation_loss()}

    def _validation_loss(self) -> float:
        block = self._block
        vectors = block.fold_in(self._given, self._validation_queries)
        items, biases = block.item_representations_, block.item_biases_
        others = vectors @ items[self._against].T.astype(np.float64) + biases[self._against]
        others.sort(axis=1)
        wrong = []
        for client, scores in enumerate(others):
            hidden = self._hidden[client].indices
            own = items[hidden] @ vectors[client] + biases[hidden]
            # A tie is half a mistake.
            ranks = np.searchsorted(scores, own, "left") + np.searchsorted(scores, own, "right")
            wrong.append(1 - ranks / (2 * len(scores)))
        return float(np.concatenate(wrong).mean())

    def weights(self) -> Arrays:
        """Give the block's state; each epoch makes new arrays."""
        return self._block.state()

    def load_weights(self, weights: Arrays) -> None:
        """Put a state into the block."""
        self._block.restore(weights)

    def state(self) -> tuple[Arrays, dict[str, Any]]:
        """Give the embeddings, their gradients and the state of the random generator."""
        random = self._model.random_state.get_state(legacy=False)
        arrays = {"random.key": random["state"].pop("key")}
        for name in _EMBEDDINGS:
            values = "es" if name.endswith("bias") else "s"
            arrays[f"model.{name}{values}"] = getattr(self._model, f"{name}{values}")
            arrays[f"model.{name}_gradients"] = getattr(self._model, f"{name}_gradients")
        return arrays, {"random": random}

    def restore(self, arrays: Arrays, rest: dict[str, Any]) -> None:
        """Take back what :meth:`state` gave."""
        for key, array in arrays.items():
            kind, _, name = key.partition(".")
            if kind == "model":
                setattr(self._model, name, array)
        for name in _EMBEDDINGS:
            # Only Adadelta has a momentum.
            gradients = getattr(self._model, f"{name}_gradients")
            setattr(self._model, f"{name}_momentum", np.zeros_like(gradients))
        rest["random"]["state"]["key"] = arrays["random.key"]
        self._model.random_state.set_state(rest["random"])


def _with_identity(features: sparse.csr_matrix) -> sparse.csr_matrix:
    """Put a feature of its own beside the features of each row."""
    identity = sparse.identity(features.shape[0], dtype=np.float32)
    return sparse.hstack([features, identity], format="csr")


def _split(
    weights: sparse.csr_matrix, rng: np.random.Generator
) -> tuple[sparse.csr_matrix, sparse.csr_matrix]:
    """Hide every other one of the items that each client liked; gives the rest, and them.

    Where nobody liked two, nothing can be hidden: all of it is given and asked for.
    """
    hidden = np.zeros(weights.nnz, dtype=bool)
    for start, end in zip(weights.indptr, weights.indptr[1:], strict=False):
        liked = start + np.flatnonzero(weights.data[start:end] > 0)
        hidden[rng.permutation(liked)[1::2]] = True
    if not hidden.any():
        return weights, weights
    parts = []
    for kept in (~hidden, hidden):
        part = weights.copy()
        part.data = np.where(kept, part.data, 0)
        part.eliminate_zeros()
        parts.append(part)
    return parts[0], parts[1]
