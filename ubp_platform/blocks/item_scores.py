"""What a client comes back to: a number for each of the shop's top categories, products, prices."""

import hashlib
from dataclasses import field
from datetime import timedelta
from itertools import pairwise

import numpy as np
import pyarrow as pa
import torch
from pydantic import PositiveInt
from scipy import sparse
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from ubp_platform.blocks.base import Block, below
from ubp_platform.blocks.checkpoint import Checkpoint
from ubp_platform.blocks.pseudo_cutoffs import FIELDS, drawn, touched, windows
from ubp_platform.blocks.snapshot import Snapshot
from ubp_platform.blocks.training import threads
from ubp_platform.errors import BlockUnavailable
from ubp_platform.events.schema import EVENT_TYPES
from ubp_platform.progress import ProgressFactory, silent
from ubp_platform.warehouse.history import History, query_text

_QUERY = "item_features"
_ITERATIONS = 60


class ItemScores(Block):
    """How much likelier a client buys each of the shop's top items for having bought or added it.

    A vector for a future window cannot tell a hundred products apart by a client's own purchases of
    each: that takes a number a product. So this block gives one for each of the categories,
    products and prices that are bought most: the sum of what the client bought and added of it
    (``warehouse/sql/item_features.sql``: how much, how lately), weighted alike for all items of a
    field. The weights are those that tell best, at earlier cutoffs of the same history
    (:mod:`~ubp_platform.blocks.pseudo_cutoffs`), which items were bought in the next days; so a
    score is a difference of log-odds, and the scores are near 0 in a shop where nobody comes back.

    Parameters
    ----------
    days : int
        How far it looks ahead.
    cutoffs : int
        How many earlier cutoffs, ``days`` apart, it learns from at most.
    clients : int
        How many clients it learns from at most; drawn with the seed.
    top : int
        How many categories, products and prices have a score.
    threads : int, optional
        CPU threads; all cores by default.
    """

    name = "item_scores"
    needs = EVENT_TYPES
    normalization = "centred"

    days: PositiveInt = 14
    cutoffs: PositiveInt = 6
    clients: PositiveInt = 5_000
    top: PositiveInt = 100
    threads: PositiveInt | None = None

    items_: dict[str, np.ndarray] = field(default_factory=dict, init=False, repr=False)
    weights_: np.ndarray = field(init=False, repr=False)

    @classmethod
    def definition(cls) -> str:  # noqa: D102
        return hashlib.sha256(query_text(_QUERY).encode()).hexdigest()

    def _fit(self, history: History, progress: ProgressFactory, checkpoint: Checkpoint) -> None:
        super()._fit(history, progress, checkpoint)
        self.items_ = {
            name: np.sort(history.vocabulary(name, self.top, ["product_buy"]).values)
            for name in FIELDS
        }
        asked = drawn(history.clients, self.clients, self.seed)
        seen = [
            (future.clients, self._features(past, future.clients), self._bought(future))
            for past, future in windows(history, timedelta(days=self.days), self.cutoffs, asked)
        ]
        if not any(bought.nnz for *_, bought in seen):
            raise BlockUnavailable(
                f"nothing is known of what clients bought in {self.days} days after a week or "
                f"more, before {history.cutoff:%Y-%m-%d %H:%M:%S}"
            )
        self.report_.clients = len(np.unique(np.concatenate([ids for ids, *_ in seen])))
        bought = sparse.vstack([bought for *_, bought in seen], format="csc")
        weights, losses = [], []
        bar = progress(f"{self.name}: fit", len(FIELDS), "fields")
        with threads(self.threads), bar as advance:
            for places in self._places():
                features = np.concatenate(
                    [_dense(len(ids), places, *table) for ids, table, _ in seen]
                )
                found, loss = _learn(features, bought[:, places].toarray())
                weights.append(found)
                losses.append(loss)
                advance(1)
        self.weights_ = np.stack(weights)
        self.report_.loss = float(np.mean(losses))

    def encode(self, history: History, progress: ProgressFactory = silent) -> Snapshot:  # noqa: D102
        bar = progress(f"{self.name}: encode", None, "clients")
        with bar as advance:
            clients = history.clients_with(self.needs)
            rows, places, features = self._features(history, clients)
            of_item = np.repeat(self.weights_, self._lengths(), axis=0)
            vectors = np.zeros((len(clients), len(of_item)), np.float32)
            vectors[rows, places] = (features * of_item[places]).sum(axis=1)
            advance(len(clients))
        return Snapshot(history.cutoff, clients, vectors)

    def state(self) -> dict[str, np.ndarray]:  # noqa: D102
        return {
            **{f"items.{name}": values for name, values in self.items_.items()},
            "weights": self.weights_,
        }

    def restore(self, arrays: dict[str, np.ndarray]) -> None:  # noqa: D102
        items = below(arrays, "items")
        self.items_ = {name: items[name] for name in FIELDS}
        self.weights_ = arrays["weights"]

    def _lengths(self) -> list[int]:
        """Tell how many items of each field have a score."""
        return [len(items) for items in self.items_.values()]

    def _places(self) -> list[slice]:
        """Give the columns of each field."""
        ends = np.cumsum([0, *self._lengths()]).tolist()
        return [slice(start, end) for start, end in pairwise(ends)]

    def _features(
        self, history: History, clients: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Give the row, the place and the features of each item that one of the clients touched.

        The clients are all with an event, ascending. The features are float32, shape
        (n_touched, n_features).
        """
        values = np.concatenate(list(self.items_.values()))
        numbers = np.repeat(np.arange(len(FIELDS)), self._lengths())
        listed = pa.table({"field": numbers, "value": values, "place": np.arange(len(values))})
        table = history.query(query_text(_QUERY), given={"scored_items": listed})
        rows = np.searchsorted(clients, table["client_id"].to_numpy())
        features = np.stack(
            [table[name].to_numpy().astype(np.float32) for name in table.column_names[2:]], axis=1
        )
        return rows, table["place"].to_numpy(), features

    def _bought(self, future: History) -> sparse.csr_matrix:
        """Tell which items the relevant clients bought: (n_clients, n_items), 1 where they did."""
        fields = [
            touched(future, future.clients, "product_buy", name, items)
            for name, items in self.items_.items()
        ]
        return sparse.hstack(fields, format="csr")


def _dense(
    clients: int, places: slice, rows: np.ndarray, columns: np.ndarray, features: np.ndarray
) -> np.ndarray:
    """Lay the features of a field out: (n_clients, n_items, n_features), 0 where nothing was."""
    laid = np.zeros((clients, places.stop - places.start, features.shape[1]), np.float32)
    inside = (columns >= places.start) & (columns < places.stop)
    laid[rows[inside], columns[inside] - places.start] = features[inside]
    return laid


def _learn(features: np.ndarray, bought: np.ndarray) -> tuple[np.ndarray, float]:
    """Find the weights of a field's features, and the loss as a share of the mean rates'.

    The log-odds of a purchase are a sum of the item's own, of the client's (how much the client
    touched of all items, weighted too), and of the weighted features of this client and this item.
    All of these have a normal prior of mean 0 and deviation 1, which matters where little is known.

    Parameters
    ----------
    features : ndarray of float32, shape (n_examples, n_items, n_features)
    bought : ndarray of float32, shape (n_examples, n_items)

    Returns
    -------
    weights : ndarray of float32, shape (n_features,)
    loss : float
    """
    if not bought.size:
        return np.zeros(features.shape[2], np.float32), 1.0
    inputs, labels = torch.from_numpy(features), torch.from_numpy(bought)
    # Of as many items the root makes a sum about as large as one of them.
    active = inputs.mean(dim=1) * inputs.shape[1] ** 0.5
    rates = (labels.sum(dim=0) + 0.5) / (len(labels) + 1)
    usual = torch.logit(rates)
    weights, activity = (torch.zeros(inputs.shape[2], requires_grad=True) for _ in range(2))
    item = torch.zeros(len(usual), requires_grad=True)
    learned = (weights, activity, item)
    optimizer = torch.optim.LBFGS(learned, max_iter=_ITERATIONS, line_search_fn="strong_wolfe")

    def cross_entropy() -> Tensor:
        logits = inputs @ weights + (active @ activity)[:, None] + usual + item
        return binary_cross_entropy_with_logits(logits, labels)

    def closure() -> Tensor:
        optimizer.zero_grad()
        prior = torch.stack([(some**2).sum() for some in learned]).sum() / 2
        loss = cross_entropy() + prior / labels.numel()
        loss.backward()
        return loss

    before = cross_entropy().item()
    optimizer.step(closure)
    return weights.detach().numpy(), cross_entropy().item() / before
