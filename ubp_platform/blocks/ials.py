"""iALS (paper, section 3.2.1): a client's taste from a client × item matrix of events.

Source: Hu, Koren and Volinsky, Collaborative filtering for implicit feedback datasets, ICDM 2008.
A client who has touched an item likes it with the confidence ``1 + alpha * weight``; all other
items the client does not like, with the confidence 1. Clients and items get factors whose products
say so, with the least squared error weighted by confidence.
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
from ubp_platform.blocks.trainer import Arrays, Trainer
from ubp_platform.progress import Advance, ProgressFactory, silent
from ubp_platform.warehouse.history import History
from ubp_platform.warehouse.interactions import Interactions


class Loss:
    """The mean squared error that the factors shall make small, weighted by confidence.

    What implicit's ``calculate_loss`` gives, in a third of its time, and the same in its last
    digit each time: that one adds up in the order in which its threads end.

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
        """Give the loss of factors: float32, shapes (n_clients, factors), (n_items, factors)."""
        factors = torch.from_numpy(clients), torch.from_numpy(items).T
        found = torch.sparse.sampled_addmm(self._known, *factors, beta=0).values().numpy()
        liked = found.astype(np.float64)
        # First all pairs as if nothing had happened, then those where something has.
        of_clients, of_items = clients.T @ clients, items.T @ items
        error = np.vdot(of_clients, of_items)
        error += (self._confidence * (1 - liked) ** 2 - liked**2).sum()
        norms = np.trace(of_clients) + np.trace(of_items)
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
        model.fit(confidence, show_progress=False)  # draws the factors' first values
        self._model, self._clients, self._items = model, confidence, confidence.T.tocsr()
        self._loss = Loss(confidence, model.regularization)
        self.epoch_size = float(confidence.nnz)

    @property
    def item_factors(self) -> np.ndarray:
        """The items' factors, float32, shape (n_items, factors)."""
        factors: np.ndarray = self._model.item_factors
        return factors

    def epoch(self, advance: Advance) -> dict[str, float]:
        """Solve for all clients, then for all items; give the loss of both."""
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
        """Copy the items' factors."""
        return {"items": self.item_factors.copy()}

    def load_weights(self, weights: Arrays) -> None:
        """Take the items' factors back."""
        self._model.item_factors = weights["items"]

    def state(self) -> tuple[Arrays, dict[str, Any]]:
        """Give the factors of both: the solver starts from the ones it replaces."""
        return {"clients": self._model.user_factors, "items": self._model.item_factors}, {}

    def restore(self, arrays: Arrays, rest: dict[str, Any]) -> None:
        """Take the factors back."""
        self._model.user_factors, self._model.item_factors = arrays["clients"], arrays["items"]


class IALS(Block):
    """Factors of clients by implicit alternating least squares; a subclass says over which items.

    Only the item factors are kept. Every client, in the fit or not, is encoded by solving for the
    client's factors exactly with the items' fixed, so a vector depends on nothing but the client's
    own events. Items that the fit did not see are ignored.

    Parameters
    ----------
    factors : int
        Width of the vector; 64 in the paper.
    iterations : int
        Rounds of solving for all clients, then for all items; later ones still lower the loss,
        but by less and less.
    regularization : float
        The weight of the squared factors in the loss. More of it predicts better, until it
        exceeds the confidence of a single event (``1 + alpha``): from there on the factors of
        rare items, and all factors of a small shop, shrink to zero.
    alpha : float
        How much confidence one unit of event weight adds; 40 in Hu, Koren and Volinsky.
    items : int, optional
        How many items are known, those of most events; all by default.
    seed : int
        Of the factors' first values.

    Attributes
    ----------
    items_ : ndarray of int64, shape (n_items,)
        Ascending.
    item_factors_ : ndarray of float32, shape (n_items, factors)
    """

    #: The field whose values are the items, and the weight of one event of each type.
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
        found = history.interactions(self.item, self.weights, known)
        if not found.client_ids.size:
            raise self.unavailable(history, f"with a known {self.item}")
        self.items_ = found.items
        self.report_.clients = len(found.client_ids)
        with threadpool_limits(1, "blas"):
            learner = IALSLearner(self._model(np.float32), self._confidence(found))
            trainer = Trainer(
                self.name, learner, self.report_, max_epochs=self.iterations, one_bar=True
            )
            trainer.fit(progress, checkpoint)
        self.item_factors_ = learner.item_factors

    def encode(self, history: History, progress: ProgressFactory = silent) -> Snapshot:
        """Solve for the factors of each relevant client with an event of a known item."""
        found = history.interactions(self.item, self.weights, self.items_)
        confidence = self._confidence(found)
        count = len(found.client_ids)
        with (
            threadpool_limits(1, "blas"),
            progress(f"{self.name}: encode", count, "clients") as advance,
        ):
            # In float32 the equations of a client with a huge count cannot be solved.
            model = self._model(np.float64)
            model.item_factors = self.item_factors_.astype(np.float64)
            vectors = model.recalculate_user(np.arange(count), confidence).astype(np.float32)
            advance(count)
        return Snapshot(history.cutoff, found.client_ids, vectors)

    def state(self) -> dict[str, np.ndarray]:
        """Give the items and their factors."""
        return {"items": self.items_, "item_factors": self.item_factors_}

    def restore(self, arrays: dict[str, np.ndarray]) -> None:
        """Take the items and their factors back."""
        self.items_ = arrays["items"]
        self.item_factors_ = arrays["item_factors"]

    def _model(self, dtype: type[np.floating]) -> AlternatingLeastSquares:
        return AlternatingLeastSquares(
            factors=self.factors,
            regularization=self.regularization,
            dtype=dtype,
            random_state=self.seed,
        )

    def _confidence(self, found: Interactions) -> sparse.csr_matrix:
        confidence = found.matrix.copy()
        confidence.data = 1 + self.alpha * confidence.data
        return confidence


class IALSCategories(IALS):
    """Taste in categories, from what a client bought and put into the cart.

    Its parameters are those of :class:`IALS`.
    """

    name = "ials_categories"
    section = "3.2.1"
    needs = ("product_buy", "add_to_cart")
    item = "category"
    weights: ClassVar[Mapping[str, float]] = {"product_buy": 3, "add_to_cart": 1}
