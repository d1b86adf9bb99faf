"""The epochs of LightFM, and the factors that a fit keeps."""

from dataclasses import dataclass, fields
from itertools import pairwise
from typing import Any, Self

import numpy as np
from lightfm import LightFM
from scipy import sparse

from ubp_platform.blocks.fold_in import fold_in
from ubp_platform.blocks.state_arrays import Arrays, strip_prefix
from ubp_platform.progress import Advance

#: Limits of the held-out clients, and of the random items that their items are ranked against.
MAX_HELD_OUT = 1000
MAX_RANKED_AGAINST = 1000

_EMBEDDINGS = ("item_embedding", "item_bias", "user_embedding", "user_bias")


@dataclass(frozen=True)
class LightFMFactors:
    """The factors into which clients are folded.

    Parameters
    ----------
    item_representations : ndarray of float32, shape (n_items, components)
    item_biases : ndarray of float32, shape (n_items,)
    query_embeddings : ndarray of float32, shape (n_query_features, components)
    """

    item_representations: np.ndarray
    item_biases: np.ndarray
    query_embeddings: np.ndarray

    @classmethod
    def from_arrays(cls, arrays: Arrays) -> Self:
        """Make factors of arrays by their names; further arrays are ignored."""
        return cls(**{field.name: arrays[field.name] for field in fields(cls)})

    def fold_in(
        self,
        weights: sparse.csr_matrix,
        queries: sparse.csr_matrix,
        negatives: np.ndarray,
        prior: float,
    ) -> np.ndarray:
        """Fold clients in, from their item weights and query features.

        Returns their vectors: float64, shape (n_clients, components).
        """
        return fold_in(
            weights,
            prior=queries @ self.query_embeddings.astype(np.float64),
            items=self.item_representations,
            biases=self.item_biases,
            negatives=negatives,
            strength=prior,
        )


class LightFMLearner:
    """LightFM's epochs; held-out clients validate each.

    Held-out clients are folded in with half of their positive items; the loss is 1 − AUC, the share
    of pairs of an item of the other half and a random item that are ranked in the wrong order.

    Parameters
    ----------
    model : LightFM
        Unfitted.
    weights : csr_matrix of float32, shape (n_clients, n_items)
    names : csr_matrix of float32, shape (n_items, n_name_features)
    queries : csr_matrix of float32, shape (n_clients, n_query_features)
    seed : int
        Seeds the choice of held-out clients and the validation.
    held_out : float
        Share of the clients that are held out, at most :data:`MAX_HELD_OUT`.
    negatives, prior
        As in :meth:`LightFMFactors.fold_in`.

    Attributes
    ----------
    factors : LightFMFactors
        Those of the last epoch.
    """

    unit = "interactions"
    factors: LightFMFactors

    def __init__(
        self,
        model: LightFM,
        weights: sparse.csr_matrix,
        *,
        names: sparse.csr_matrix,
        queries: sparse.csr_matrix,
        seed: int,
        held_out: float,
        negatives: np.ndarray,
        prior: float,
    ) -> None:
        self._model, self._negatives, self._prior = model, negatives, prior
        rng = np.random.default_rng(seed)
        clients = rng.permutation(weights.shape[0])
        # With very few clients none is held out, and the training clients validate.
        validation = clients[: min(int(held_out * len(clients)), MAX_HELD_OUT)]
        training = np.sort(clients[len(validation) :])
        validation = np.sort(validation if len(validation) else training[:MAX_HELD_OUT])
        self._validation_queries = queries[validation]
        self._visible, self._hidden = _split(weights[validation], rng)
        self._against = rng.permutation(weights.shape[1])[:MAX_RANKED_AGAINST]

        self._sample_weights = weights[training].tocoo()
        self._interactions = self._sample_weights.copy()
        self._interactions.data = np.ones_like(self._sample_weights.data)
        self.epoch_size = float(self._interactions.nnz)
        self._known_codes = np.diff(queries[training].tocsc().indptr) > 0
        self._clients = _with_identity(queries[training])
        self._items = _with_identity(names)

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
        # Codes that no training client has searched for still have their random embedding.
        embeddings = self._model.user_embeddings[: len(self._known_codes)]
        self.factors = LightFMFactors(
            item_representations=self._items @ self._model.item_embeddings,
            item_biases=self._items @ self._model.item_biases,
            query_embeddings=np.where(self._known_codes[:, None], embeddings, np.float32(0)),
        )
        return {"validation": self._validation_loss()}

    def _validation_loss(self) -> float:
        vectors = self.factors.fold_in(
            self._visible, self._validation_queries, self._negatives, self._prior
        )
        items, biases = self.factors.item_representations, self.factors.item_biases
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
        """Return the factors; each epoch makes new arrays."""
        return dict(vars(self.factors))

    def load_weights(self, weights: Arrays) -> None:
        """Restore the factors."""
        self.factors = LightFMFactors.from_arrays(weights)

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
