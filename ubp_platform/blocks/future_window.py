"""Future window: a vector trained to predict what a client does in the next two weeks."""

from dataclasses import field
from typing import Annotated

import numpy as np
import torch
from pydantic import Field, PositiveFloat, PositiveInt
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from ubp_platform.blocks.checkpoint import Checkpoint
from ubp_platform.blocks.counters import Counters
from ubp_platform.blocks.matryoshka import MatryoshkaNetwork, SkipEncoder
from ubp_platform.blocks.parameters import Share
from ubp_platform.blocks.pseudo_cutoffs import (
    ITEM_EVENTS,
    Examples,
    FutureBlock,
    collect_examples,
    top_items,
)
from ubp_platform.blocks.snapshot import Snapshot
from ubp_platform.blocks.state_arrays import Arrays, strip_prefix, with_prefix
from ubp_platform.blocks.torch_learner import Optimizers, TorchLearner
from ubp_platform.blocks.torch_runtime import (
    LEAST_ROWS,
    device,
    load_weight_arrays,
    padded,
    seeded,
    threads,
    weight_arrays,
)
from ubp_platform.blocks.trainer import Trainer
from ubp_platform.errors import BlockUnavailable
from ubp_platform.progress import Advance, ProgressFactory, logged
from ubp_platform.warehouse.history import History

# Rows per batch in evaluation.
_ROWS_PER_BATCH = 8192
# Scaled inputs are clipped to this many standard deviations.
_CLIP = 6.0


class FutureWindow(FutureBlock):
    """A vector from which a linear model can predict what a client does in the next days.

    A network reads the client's :class:`~ubp_platform.blocks.counters.Counters` at
    :mod:`~ubp_platform.blocks.pseudo_cutoffs` and predicts the window after them: whether the
    client buys, adds, visits or searches, and which of the shop's top categories, products and
    prices are bought and added. Its first 8, 16, 32, … dimensions are trained to be good vectors by
    themselves.

    Parameters
    ----------
    days, cutoffs, clients, top
        As in :class:`~ubp_platform.blocks.pseudo_cutoffs.FutureBlock`.
    width, hidden : int
        Width of the vector, and of the hidden layer.
    dropout : float
        Dropout of the hidden layer.
    batch_size : int
        Examples per batch.
    learning_rate, max_epochs, patience, held_out, threads
        As in :class:`~ubp_platform.blocks.sequence_block.SequenceBlock`.
    """

    name = "future_window"
    normalization = "standard"
    shared_fit = True

    width: PositiveInt = 64
    hidden: PositiveInt = 256
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.4
    batch_size: PositiveInt = 256
    learning_rate: PositiveFloat = 2e-3
    max_epochs: PositiveInt = 15
    patience: PositiveInt = 5
    held_out: Share = 0.1
    threads: PositiveInt | None = None

    counters_: Counters = field(init=False, repr=False)
    center_: np.ndarray = field(init=False, repr=False)
    deviation_: np.ndarray = field(init=False, repr=False)
    encoder_: SkipEncoder = field(init=False, repr=False)

    @classmethod
    def definition(cls) -> str:  # noqa: D102
        return Counters.definition()

    def _fit(self, history: History, progress: ProgressFactory, checkpoint: Checkpoint) -> None:
        self.counters_ = Counters().fit(history)
        items = top_items(history, self.top, ITEM_EVENTS)
        examples = collect_examples(self.windows(history), self.counters_, items)
        if examples is None:
            raise BlockUnavailable(
                f"no client did anything in {self.days} days after a week or more of events, "
                f"before {history.cutoff:%Y-%m-%d %H:%M:%S}"
            )
        self.report_.clients = len(np.unique(examples.client_ids))
        logs = np.log1p(examples.inputs)
        self.center_ = logs.mean(axis=0, dtype=np.float64).astype(np.float32)
        deviation = logs.std(axis=0, dtype=np.float64)
        self.deviation_ = np.where(deviation > 1e-6, deviation, 1).astype(np.float32)
        with threads(self.threads), seeded(self.seed):
            learner = _FutureWindowLearner(self, examples, self._scale(logs))
            trainer = Trainer(
                self.name,
                learner,
                self.report_,
                max_epochs=self.max_epochs,
                patience=self.patience,
                one_bar=True,
            )
            trainer.fit(progress, checkpoint)
            self.encoder_ = learner.encoder

    def prefixes(self) -> list[int]:
        """Return the lengths that the vector is trained for: 8, 16, 32, … and its full width."""
        powers = [2**power for power in range(3, 20) if 2**power < self.width]
        return [*powers, self.width]

    def encoder(self, inputs: int) -> SkipEncoder:
        """Make the unfitted encoder."""
        return SkipEncoder(inputs, self.hidden, self.width, self.dropout)

    def _scale(self, logs: np.ndarray) -> np.ndarray:
        """Standardize and clip the logarithms of counters."""
        scaled: np.ndarray = (logs - self.center_) / self.deviation_
        return scaled.clip(-_CLIP, _CLIP)

    def encode(self, history: History, progress: ProgressFactory = logged) -> Snapshot:  # noqa: D102
        counters = self.counters_.encode(history)
        inputs = torch.from_numpy(self._scale(np.log1p(counters.vectors)))
        vectors = np.empty((len(inputs), self.width), np.float32)
        self.encoder_.eval()
        least = LEAST_ROWS if device().type == "cpu" else _ROWS_PER_BATCH
        bar = progress(f"{self.name}: encode", len(inputs), "clients")
        with threads(self.threads), torch.inference_mode(), bar as advance:
            for start in range(0, len(inputs), _ROWS_PER_BATCH):
                part = inputs[start : start + _ROWS_PER_BATCH]
                found = self.encoder_(padded(part, least).to(device()))[: len(part)]
                vectors[start : start + len(part)] = found.cpu().numpy()
                advance(len(part))
        return Snapshot(history.cutoff, counters.client_ids, vectors)

    def state(self) -> Arrays:  # noqa: D102
        return {
            **with_prefix("counters", self.counters_.state()),
            **with_prefix("encoder", weight_arrays(self.encoder_)),
            "center": self.center_,
            "deviation": self.deviation_,
        }

    def restore(self, arrays: Arrays) -> None:  # noqa: D102
        self.counters_ = Counters()
        self.counters_.restore(strip_prefix(arrays, "counters"))
        self.center_, self.deviation_ = arrays["center"], arrays["deviation"]
        self.encoder_ = self.encoder(len(self.center_))
        load_weight_arrays(self.encoder_, strip_prefix(arrays, "encoder"))
        self.encoder_.to(device())


class _FutureWindowLearner(TorchLearner):
    """The epochs of the network on scaled inputs; some clients are held out for validation."""

    unit = "examples"

    def __init__(self, block: FutureWindow, examples: Examples, inputs: np.ndarray) -> None:
        rng = np.random.default_rng(block.seed)
        clients = rng.permutation(np.unique(examples.client_ids))
        held_out = np.isin(examples.client_ids, clients[: int(block.held_out * len(clients))])
        self._training = np.flatnonzero(~held_out)
        # With very few clients none is held out, and the training clients validate.
        self._validation = np.flatnonzero(held_out) if held_out.any() else self._training
        self.epoch_size = float(len(self._training))
        self._batch_size, self._device = block.batch_size, device()
        self._inputs, self._targets = torch.from_numpy(inputs), examples.targets
        rates = np.asarray(examples.targets.mean(axis=0), np.float64).ravel().clip(1e-6, 1 - 1e-6)
        self._weights = torch.from_numpy(_weights(rates, examples.groups)).to(self._device)
        self.encoder = block.encoder(inputs.shape[1])
        network = MatryoshkaNetwork(self.encoder, block.prefixes(), rates).to(self._device)
        steps = block.max_epochs * -(-len(self._training) // block.batch_size)
        super().__init__(network, Optimizers(network, steps, block.learning_rate), rng)

    def epoch(self, advance: Advance) -> dict[str, float]:
        """Train on each batch once, then validate; the loss of the base rates would be 1."""
        self._network.train()
        train = 0.0
        self._processes.draw_apart(self._rng)
        order = self._rng.permutation(self._training)
        for start in range(0, len(order), self._batch_size):
            rows = order[start : start + self._batch_size]
            self._optimizers.zero_grad()
            loss = self._loss(self._processes.share(rows))
            (loss / len(rows)).backward()
            self._optimizers.step()
            train += loss.item()
            advance(len(rows))
        return {
            "train": self._processes.total(train) / len(self._training),
            "validation": self._processes.total(self._validate()) / len(self._validation),
        }

    @torch.inference_mode()
    def _validate(self) -> float:
        self._network.eval()
        rows, size = self._processes.share(self._validation), _ROWS_PER_BATCH
        starts = range(0, len(rows), size)
        return sum(self._loss(rows[start : start + size]).item() for start in starts)

    def _loss(self, rows: np.ndarray) -> Tensor:
        """Sum the loss over examples, averaged over prefixes and groups of targets."""
        targets = torch.from_numpy(self._targets[rows].toarray()).to(self._device)
        losses = [
            binary_cross_entropy_with_logits(logits, targets, self._weights, reduction="sum")
            for logits in self._network(self._inputs[rows].to(self._device))
        ]
        return torch.stack(losses).mean()


def _weights(rates: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """Weight targets so that all groups count equally: float32, shape (n_targets,).

    A group's loss is divided by the loss of its base rates, so that it starts at 1.
    """
    entropy = -(rates * np.log(rates) + (1 - rates) * np.log(1 - rates))
    names, group = np.unique(groups, return_inverse=True)
    weights: np.ndarray = 1 / np.bincount(group, entropy)[group] / len(names)
    return weights.astype(np.float32)
