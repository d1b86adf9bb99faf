"""iALS (paper, section 3.2.1): a client's taste from a client × item matrix of events.

Source: Hu, Koren and Volinsky, Collaborative filtering for implicit feedback datasets, ICDM 2008.
A client prefers the items of its events with the confidence ``1 + alpha * weight``, and does not
prefer other items with the confidence 1. Products of client and item factors approximate these
preferences, with the least squared error weighted by confidence.
"""

import warnings
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import torch
from implicit.cpu.als import AlternatingLeastSquares
from pydantic import PositiveFloat, PositiveInt
from scipy import sparse
from threadpoolctl import threadpool_limits

from ubp_platform.blocks.base import Block
from ubp_platform.blocks.checkpoint import Checkpoint
from ubp_platform.blocks.snapshot import Snapshot
from ubp_platform.blocks.state_arrays import Arrays
from ubp_platform.blocks.trainer import Trainer
from ubp_platform.progress import Advance, ProgressFactory, logged
from ubp_platform.warehouse.history import History
from ubp_platform.warehouse.interactions import Interactions


class IALSLoss:
    """The objective of iALS: the mean squared error, weighted by confidence, and regularized.

    Equal to implicit's ``calculate_loss``, but three times as fast and deterministic: the latter
    sums in the order in which its threads finish.

    Parameters
    ----------
    confidence : scipy.sparse.csr_matrix, shape (n_clients, n_items)
    regularization : float
    """

    def __init__(self, confidence: sparse.csr_matrix, regularization: float) -> None:
        clients, items = confidence.shape
        with warnings.catch_warnings(action="ignore"):  # PyTorch: "sparse CSR is in beta state"
            self._known = torch.sparse_csr_tensor(
                torch.from_numpy(confidence.indptr),
                torch.from_numpy(confidence.indices),
                torch.zeros(confidence.nnz),
                size=(clients, items),
            )
        self._confidence = confidence.data.astype(np.float64)
        self._regularization = regularization
        self._weight = self._confidence.sum() + clients * items - confidence.nnz

    def __call__(self, clients: np.ndarray, items: np.ndarray) -> float:
        """Return the loss of factors: float32, shapes (n_clients, factors), (n_items, factors)."""
        factors = torch.from_numpy(clients), torch.from_numpy(items).T
        scores = torch.sparse.sampled_addmm(self._known, *factors, beta=0).values().numpy()
        scores = scores.astype(np.float64)  # of the pairs with an event
        # The error of all pairs as if without events, corrected for the pairs with an event.
        client_gram, item_gram = clients.T @ clients, items.T @ items  # (factors, factors)
        error = np.vdot(client_gram, item_gram)
        error += (self._confidence * (1 - scores) ** 2 - scores**2).sum()
        norms = np.trace(client_gram) + np.trace(item_gram)
        return float((error + self._regularization * norms) / self._weight)


class IALSLearner:
    """The iterations of alternating least squares; one is an epoch.

    Parameters
    ----------
    model : AlternatingLeastSquares
        Unfitted.
    confidence : csr_matrix of float32, shape (n_clients, n_items)
    """

    unit = "interactions"

    def __init__(self, model: AlternatingLeastSquares, confidence: sparse.csr_matrix) -> None:
        model.iterations = 0
        model.fit(confidence, show_progress=False)  # draws the initial factors
        self._model, self._clients, self._items = model, confidence, confidence.T.tocsr()
        self._loss = IALSLoss(confidence, model.regularization)
        self.epoch_size = float(confidence.nnz)

    @property
    def item_factors(self) -> np.ndarray:
        """The item factors, float32, shape (n_items, factors)."""
        factors: np.ndarray = self._model.item_factors
        return factors

    def epoch(self, advance: Advance) -> dict[str, float]:
        """Solve for all clients, then for all items, and return the loss."""
        model = self._model
        users, items = model.user_factors, model.item_factors
        for confidence, solved, fixed in (
            (self._clients, users, items),
            (self._items, items, users),
        ):
            model.solver(
                confidence, solved, fixed, model.regularization, num_threads=model.num_threads
            )
        advance(self.epoch_size)
        return {"train": self._loss(users, items)}

    def weights(self) -> Arrays:
        """Copy the item factors."""
        return {"items": self.item_factors.copy()}

    def load_weights(self, weights: Arrays) -> None:
        """Restore the item factors."""
        self._model.item_factors = weights["items"]

    def state(self) -> tuple[Arrays, dict[str, Any]]:
        """Return all factors: the solver starts from the previous ones."""
        return {"clients": self._model.user_factors, "items": self._model.item_factors}, {}

    def restore(self, arrays: Arrays, metadata: dict[str, Any]) -> None:
        """Restore all factors."""
        self._model.user_factors, self._model.item_factors = arrays["clients"], arrays["items"]


class IALS(Block):
    """Client factors by implicit alternating least squares; a subclass names the items.

    Only the item factors are kept. Every client, in the fit or not, is encoded by solving for the
    client's factors with the item factors fixed, so a vector depends only on the client's own
    events. Items that the fit did not see are ignored.

    Parameters
    ----------
    factors : int
        Width of the vector; 64 in the paper.
    iterations : int
        Each solves for all clients, then for all items; the loss falls by less and less.
    regularization : float
        The weight of the squared factors in the loss. Larger values predict better, until they
        exceed the confidence of a single event (``1 + alpha``): then the factors of rare items, and
        all factors of a small shop, shrink to zero.
    alpha : float
        Confidence per unit of event weight; 40 in Hu, Koren and Volinsky.
    items : int, optional
        Number of items to keep, those with most events; all by default.
    seed : int
        Seeds the initial factors.

    Attributes
    ----------
    items_ : ndarray of int64, shape (n_items,)
        Ascending.
    item_factors_ : ndarray of float32, shape (n_items, factors)
    """

    #: The field whose values are the items, and the weight of an event of each type.
    item: ClassVar[str]
    weights: ClassVar[Mapping[str, float]]

    factors: PositiveInt = 64
    iterations: PositiveInt = 15
    regularization: PositiveFloat = 10.0
    alpha: PositiveFloat = 40.0
    items: PositiveInt | None = None

    def _fit(self, history: History, progress: ProgressFactory, checkpoint: Checkpoint) -> None:
        known = None
        if self.items is not None:
            names = tuple(self.weights)
            known = np.sort(history.vocabulary(self.item, self.items, names).values)
        interactions = history.interactions(self.item, self.weights, known)
        if not interactions.client_ids.size:
            raise self.unavailable(history, f"with a known {self.item}")
        self.items_ = interactions.items
        self.report_.clients = len(interactions.client_ids)
        with threadpool_limits(1, "blas"):
            learner = IALSLearner(self._model(np.float32), self._confidence(interactions))
            trainer = Trainer(
                self.name, learner, self.report_, max_epochs=self.iterations, one_bar=True
            )
            trainer.fit(progress, checkpoint)
        self.item_factors_ = learner.item_factors

    def encode(self, history: History, progress: ProgressFactory = logged) -> Snapshot:
        """Solve for the factors of each relevant client with an event of a known item."""
        interactions = history.interactions(self.item, self.weights, self.items_)
        confidence = self._confidence(interactions)
        count = len(interactions.client_ids)
        bar = progress(f"{self.name}: encode", count, "clients")
        with threadpool_limits(1, "blas"), bar as advance:
            # In float32 the system of a client with very many events is ill-conditioned.
            model = self._model(np.float64)
            model.item_factors = self.item_factors_.astype(np.float64)
            vectors = model.recalculate_user(np.arange(count), confidence).astype(np.float32)
            advance(count)
        return Snapshot(history.cutoff, interactions.client_ids, vectors)

    def state(self) -> Arrays:  # noqa: D102
        return {"items": self.items_, "item_factors": self.item_factors_}

    def restore(self, arrays: Arrays) -> None:  # noqa: D102
        self.items_, self.item_factors_ = arrays["items"], arrays["item_factors"]

    def _model(self, dtype: type[np.floating]) -> AlternatingLeastSquares:
        return AlternatingLeastSquares(
            factors=self.factors,
            regularization=self.regularization,
            dtype=dtype,
            random_state=self.seed,
        )

    def _confidence(self, interactions: Interactions) -> sparse.csr_matrix:
        confidence = interactions.matrix.copy()
        confidence.data = 1 + self.alpha * confidence.data
        return confidence


class IALSCategories(IALS):
    """Taste in categories, from purchases and additions to the cart.

    Its parameters are those of :class:`IALS`.
    """

    name = "ials_categories"
    section = "3.2.1"
    needs = ("product_buy", "add_to_cart")
    item = "category"
    weights: ClassVar[Mapping[str, float]] = {"product_buy": 3, "add_to_cart": 1}
