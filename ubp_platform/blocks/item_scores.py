"""Item scores: how likely a client buys each of the shop's top categories, products and prices."""

import hashlib
from dataclasses import field
from itertools import pairwise

import numpy as np
import pyarrow as pa
import torch
from pydantic import PositiveInt
from scipy import sparse
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from ubp_platform.blocks.checkpoint import Checkpoint
from ubp_platform.blocks.pseudo_cutoffs import ITEM_FIELDS, FutureBlock, item_indicators, top_items
from ubp_platform.blocks.snapshot import Snapshot
from ubp_platform.blocks.state_arrays import Arrays, strip_prefix, with_prefix
from ubp_platform.blocks.torch_runtime import threads
from ubp_platform.errors import BlockUnavailable
from ubp_platform.progress import ProgressFactory, logged
from ubp_platform.warehouse.history import History, query_text

_QUERY = "item_features"
_MAX_ITERATIONS = 60


class ItemScores(FutureBlock):
    """How much a client's own purchases and additions of an item raise the odds to buy it again.

    A dense vector cannot represent a client's own purchases of a hundred products: that takes one
    number per product. This block has one for each of the most bought categories, products and
    prices: a weighted sum of how often and how recently the client bought and added the item
    (``warehouse/sql/item_features.sql``), with the same weights for all items of a field. The
    weights are fitted at :mod:`~ubp_platform.blocks.pseudo_cutoffs` to predict the items bought in
    the next days. A score is a difference of log-odds, close to 0 in a shop without repeat
    purchases.

    Parameters
    ----------
    days, cutoffs, clients, top
        As in :class:`~ubp_platform.blocks.pseudo_cutoffs.FutureBlock`.
    threads : int, optional
        CPU threads; all cores by default.
    """

    name = "item_scores"
    normalization = "centred"

    clients: PositiveInt = 5_000
    threads: PositiveInt | None = None

    items_: dict[str, np.ndarray] = field(default_factory=dict, init=False, repr=False)
    weights_: np.ndarray = field(init=False, repr=False)

    @classmethod
    def definition(cls) -> str:  # noqa: D102
        return hashlib.sha256(query_text(_QUERY).encode()).hexdigest()

    def _fit(self, history: History, progress: ProgressFactory, checkpoint: Checkpoint) -> None:
        super()._fit(history, progress, checkpoint)
        self.items_ = top_items(history, self.top, ("product_buy",))
        examples = [
            (future.clients, self._features(past, future.clients), self._bought(future))
            for past, future in self.windows(history)
        ]
        if not any(bought.nnz for *_, bought in examples):
            raise BlockUnavailable(
                f"no client bought anything in {self.days} days after a week or more of events, "
                f"before {history.cutoff:%Y-%m-%d %H:%M:%S}"
            )
        self.report_.clients = len(np.unique(np.concatenate([ids for ids, *_ in examples])))
        bought = sparse.vstack([bought for *_, bought in examples], format="csc")
        weights, losses = [], []
        bar = progress(f"{self.name}: fit", len(ITEM_FIELDS), "fields")
        with threads(self.threads), bar as advance:
            for columns in self._field_columns():
                features = np.concatenate(
                    [_dense(len(ids), columns, *entries) for ids, entries, _ in examples]
                )
                field_weights, loss = _fit_weights(features, bought[:, columns].toarray())
                weights.append(field_weights)
                losses.append(loss)
                advance(1)
        self.weights_ = np.stack(weights)
        self.report_.loss = float(np.mean(losses))

    def encode(self, history: History, progress: ProgressFactory = logged) -> Snapshot:  # noqa: D102
        with progress(f"{self.name}: encode", None, "clients") as advance:
            clients = history.clients_with(self.needs)
            rows, columns, features = self._features(history, clients)
            weights = np.repeat(self.weights_, self._items_per_field(), axis=0)
            vectors = np.zeros((len(clients), len(weights)), np.float32)
            vectors[rows, columns] = (features * weights[columns]).sum(axis=1)
            advance(len(clients))
        return Snapshot(history.cutoff, clients, vectors)

    def state(self) -> Arrays:  # noqa: D102
        return {**with_prefix("items", self.items_), "weights": self.weights_}

    def restore(self, arrays: Arrays) -> None:  # noqa: D102
        items = strip_prefix(arrays, "items")
        self.items_ = {name: items[name] for name in ITEM_FIELDS}
        self.weights_ = arrays["weights"]

    def _items_per_field(self) -> list[int]:
        return [len(items) for items in self.items_.values()]

    def _field_columns(self) -> list[slice]:
        """Return the columns of each field in the vector."""
        ends = np.cumsum([0, *self._items_per_field()]).tolist()
        return [slice(start, end) for start, end in pairwise(ends)]

    def _features(
        self, history: History, clients: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return row, column and features of each item that a client bought or added.

        The clients are all those with an event, ascending. The features are float32, shape
        (n_entries, n_features).
        """
        values = np.concatenate(list(self.items_.values()))
        fields = np.repeat(np.arange(len(ITEM_FIELDS)), self._items_per_field())
        items = pa.table({"field": fields, "value": values, "place": np.arange(len(values))})
        table = history.query(query_text(_QUERY), given={"scored_items": items})
        rows = np.searchsorted(clients, table["client_id"].to_numpy())
        features = np.stack(
            [table[name].to_numpy().astype(np.float32) for name in table.column_names[2:]], axis=1
        )
        return rows, table["place"].to_numpy(), features

    def _bought(self, future: History) -> sparse.csr_matrix:
        """Return 1 where a relevant client bought an item: (n_clients, n_items)."""
        fields = [
            item_indicators(future, future.clients, "product_buy", name, items)
            for name, items in self.items_.items()
        ]
        return sparse.hstack(fields, format="csr")


def _dense(
    clients: int, within: slice, rows: np.ndarray, columns: np.ndarray, features: np.ndarray
) -> np.ndarray:
    """Return the features of a field's items, 0 by default: (n_clients, n_items, n_features)."""
    dense = np.zeros((clients, within.stop - within.start, features.shape[1]), np.float32)
    inside = (columns >= within.start) & (columns < within.stop)
    dense[rows[inside], columns[inside] - within.start] = features[inside]
    return dense


def _fit_weights(features: np.ndarray, bought: np.ndarray) -> tuple[np.ndarray, float]:
    """Fit the weights of a field's features; the loss is relative to that of the base rates.

    A logistic regression: the log-odds of a purchase are the sum of an item bias, the client's
    activity (weighted features over all items), and the weighted features of this client and item.
    All parameters have a standard normal prior, which matters where data are few.

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
    # Divided by the root of the number of items, the sum has about the scale of one item.
    activity = inputs.mean(dim=1) * inputs.shape[1] ** 0.5  # (n_examples, n_features)
    rates = (labels.sum(dim=0) + 0.5) / (len(labels) + 1)
    base = torch.logit(rates)
    weights, client = (torch.zeros(inputs.shape[2], requires_grad=True) for _ in range(2))
    item = torch.zeros(len(base), requires_grad=True)
    parameters = (weights, client, item)
    optimizer = torch.optim.LBFGS(
        parameters, max_iter=_MAX_ITERATIONS, line_search_fn="strong_wolfe"
    )

    def cross_entropy() -> Tensor:
        logits = inputs @ weights + (activity @ client)[:, None] + base + item
        return binary_cross_entropy_with_logits(logits, labels)

    def closure() -> Tensor:
        optimizer.zero_grad()
        prior = torch.stack([(values**2).sum() for values in parameters]).sum() / 2
        loss = cross_entropy() + prior / labels.numel()
        loss.backward()
        return loss

    before = cross_entropy().item()
    optimizer.step(closure)
    return weights.detach().numpy(), cross_entropy().item() / before
