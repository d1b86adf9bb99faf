"""iALS (paper, section 3.2.1): a client's taste from a client × item matrix of events.

Source: Hu, Koren and Volinsky, Collaborative filtering for implicit feedback datasets, ICDM 2008.
A client who has touched an item likes it with the confidence ``1 + alpha * weight``; all other
items the client does not like, with the confidence 1. Clients and items get factors whose products
say so, with the least squared error weighted by confidence.
"""

import warnings
from collections.abc import Mapping
from typing import ClassVar

import numpy as np
import torch
from implicit.cpu.als import AlternatingLeastSquares
from pydantic import Field
from scipy import sparse
from threadpoolctl import threadpool_limits

from ubp_platform.blocks.base import Block, Params
from ubp_platform.blocks.checkpoint import Checkpoint
from ubp_platform.blocks.snapshot import Snapshot
from ubp_platform.errors import BlockUnavailable
from ubp_platform.progress import ProgressFactory, silent
from ubp_platform.warehouse.history import History, Interactions


class IALSParams(Params):
    """Parameters of iALS.

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
    """

    factors: int = Field(64, gt=0)
    iterations: int = Field(15, gt=0)
    regularization: float = Field(10.0, gt=0)
    alpha: float = Field(40.0, gt=0)
    items: int | None = Field(None, gt=0)


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


class IALS(Block):
    """Factors of clients by implicit alternating least squares; a subclass says over which items.

    Only the item factors are kept. Every client, in the fit or not, is encoded by solving for the
    client's factors exactly with the items' fixed, so a vector depends on nothing but the client's
    own events. Items that the fit did not see are ignored.

    Attributes
    ----------
    items_ : ndarray of int64, shape (n_items,)
        Ascending.
    item_factors_ : ndarray of float32, shape (n_items, factors)
    """

    #: The field whose values are the items, and the weight of one event of each type.
    item: ClassVar[str]
    weights: ClassVar[Mapping[str, float]]

    Parameters = IALSParams
    params: IALSParams

    def _fit(self, history: History, progress: ProgressFactory, checkpoint: Checkpoint) -> None:
        known = None
        if self.params.items is not None:
            names = tuple(self.weights)
            known = np.sort(history.vocabulary(self.item, self.params.items, names).values)
        found = history.interactions(self.item, self.weights, known)
        if not found.client_ids.size:
            raise BlockUnavailable(
                f"no relevant client has a {' or '.join(self.weights)} event with a known "
                f"{self.item} before {history.cutoff:%Y-%m-%d %H:%M:%S}"
            )
        self.items_ = found.items
        self.report_.clients = len(found.client_ids)
        with threadpool_limits(1, "blas"):
            self._iterate(self._confidence(found), progress, checkpoint)

    def _iterate(
        self, confidence: sparse.csr_matrix, progress: ProgressFactory, checkpoint: Checkpoint
    ) -> None:
        """Run the iterations that are left; Ctrl-C keeps those that were run."""
        model = self._model(np.float32)
        losses: list[float] = []
        if (kept := checkpoint.load()) is not None:
            arrays, said = kept
            # Both: the solver starts from the factors it replaces.
            model.user_factors, model.item_factors = arrays["clients"], arrays["items"]
            losses = said["losses"]
            self.report_.resumed(f"iteration {len(losses)}")
        model.iterations = self.params.iterations - len(losses)
        loss = Loss(confidence, self.params.regularization)

        def after_iteration(*_: object) -> None:
            losses.append(loss(model.user_factors, model.item_factors))
            factors = {"clients": model.user_factors, "items": model.item_factors}
            checkpoint.save(factors, {"losses": losses})
            advance(1)

        try:
            with progress(f"{self.name}: fit", model.iterations, "iterations") as advance:
                model.fit(confidence, show_progress=False, callback=after_iteration)
        except KeyboardInterrupt:
            if not losses:
                raise
            # The next iteration may be half done: its factors are no worse.
            self.report_.interrupted(f"iteration {len(losses)}", self.params.iterations)
        self.item_factors_: np.ndarray = model.item_factors
        self.report_.curves = {"train": losses}
        self.report_.loss = losses[-1]

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
            factors=self.params.factors,
            iterations=self.params.iterations,
            regularization=self.params.regularization,
            dtype=dtype,
            random_state=self.params.seed,
        )

    def _confidence(self, found: Interactions) -> sparse.csr_matrix:
        confidence = found.matrix.copy()
        confidence.data = 1 + self.params.alpha * confidence.data
        return confidence


class IALSCategories(IALS):
    """Taste in categories, from what a client bought and put into the cart."""

    name = "ials_categories"
    section = "3.2.1"
    needs = ("product_buy", "add_to_cart")
    item = "category"
    weights: ClassVar[Mapping[str, float]] = {"product_buy": 3, "add_to_cart": 1}
