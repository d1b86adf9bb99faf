"""iALS (paper, section 3.2.1): a client's taste from a client × item matrix of events.

Source: Hu, Koren and Volinsky, Collaborative filtering for implicit feedback datasets, ICDM 2008.
A client who has touched an item likes it with the confidence ``1 + alpha * weight``; all other
items the client does not like, with the confidence 1. Clients and items get factors whose products
say so, with the least squared error weighted by confidence.
"""

import os
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import ClassVar

import numpy as np
from implicit.cpu.als import AlternatingLeastSquares, calculate_loss
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

    implicit counts it on several threads and adds up in the order in which they end, which changes
    the last digits from run to run. Here each thread has clients of its own and their sums are
    added in order.

    Parameters
    ----------
    confidence : scipy.sparse.csr_matrix, shape (n_clients, n_items)
    regularization : float
    """

    _PARTS = 8

    def __init__(self, confidence: sparse.csr_matrix, regularization: float) -> None:
        cuts = np.unique(np.linspace(0, confidence.shape[0], self._PARTS + 1).astype(int)).tolist()
        self._parts = [(slice(*cut), confidence[slice(*cut)]) for cut in pairwise(cuts)]
        self._regularization = regularization

    def __call__(self, clients: np.ndarray, items: np.ndarray) -> float:
        """Give the loss of factors: float32, shapes (n_clients, factors), (n_items, factors)."""

        def total(part: tuple[slice, sparse.csr_matrix]) -> float:
            rows, confidence = part
            mean = calculate_loss(
                confidence, clients[rows], items, self._regularization, num_threads=1
            )
            return float(mean) * self._weight(confidence)

        with ThreadPoolExecutor(os.cpu_count()) as threads:
            found = sum(threads.map(total, self._parts))
        # Each part has counted the items' factors.
        again = self._regularization * float(np.vdot(items, items)) * (len(self._parts) - 1)
        return (found - again) / sum(self._weight(confidence) for _, confidence in self._parts)

    @staticmethod
    def _weight(confidence: sparse.csr_matrix) -> float:
        """Add up the confidences; it is 1 where nothing happened."""
        clients, items = confidence.shape
        return float(confidence.data.sum(dtype=np.float64)) + clients * items - confidence.nnz


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
