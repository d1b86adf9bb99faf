"""What a client will do: a vector made for the next two weeks, most telling numbers first."""

from dataclasses import field
from datetime import timedelta
from typing import Annotated, Any

import numpy as np
import torch
from pydantic import Field, PositiveFloat, PositiveInt
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits

from ubp_platform.blocks.base import Block, below
from ubp_platform.blocks.checkpoint import Checkpoint
from ubp_platform.blocks.counters import Counters
from ubp_platform.blocks.parameters import Share
from ubp_platform.blocks.pseudo_cutoffs import Examples, drawn, examples
from ubp_platform.blocks.snapshot import Snapshot
from ubp_platform.blocks.trainer import Trainer
from ubp_platform.blocks.training import Optimizers, TorchLearner, device, seeded, threads
from ubp_platform.errors import BlockUnavailable
from ubp_platform.events.schema import EVENT_TYPES
from ubp_platform.progress import Advance, ProgressFactory, silent
from ubp_platform.warehouse.history import History

# Examples that are only read, not learned from.
_ROWS = 8192
# Counters overlap: none may be relied on alone.
_INPUT_DROPOUT = 0.1
# Inputs further from the mean than so many deviations are taken for as far.
_FAR = 6.0


class Encoder(nn.Module):
    """From counters to the vector: a linear map, and a small network beside it.

    The linear map alone does most of it; a second hidden layer makes it worse
    (docs/notes/tried.md).

    Parameters
    ----------
    inputs, hidden, width : int
    dropout : float
    """

    def __init__(self, inputs: int, hidden: int, width: int, dropout: float) -> None:
        super().__init__()
        self.straight = nn.Linear(inputs, width)
        self.hidden = nn.Sequential(
            nn.Linear(inputs, hidden), nn.GELU(), nn.Dropout(dropout), nn.Linear(hidden, width)
        )
        self.dropout = nn.Dropout(_INPUT_DROPOUT)

    def forward(self, x: Tensor) -> Tensor:
        """Give the vectors: (rows, width)."""
        x = self.dropout(x)
        vectors: Tensor = self.straight(x) + self.hidden(x)
        return vectors


class Network(nn.Module):
    """An encoder, and a linear head on each prefix of its vector.

    That every prefix has to answer all questions by itself brings the numbers into order: the first
    ones say most (Kusupati et al. 2022, "Matryoshka representation learning").

    Parameters
    ----------
    encoder : Encoder
    prefixes : list of int
        Lengths of the prefixes, ascending.
    rates : ndarray of float32, shape (n_targets,)
        How often each target happens; the heads start from there.
    """

    def __init__(self, encoder: Encoder, prefixes: list[int], rates: np.ndarray) -> None:
        super().__init__()
        self.encoder, self.prefixes = encoder, prefixes
        self.heads = nn.ModuleList(nn.Linear(prefix, len(rates)) for prefix in prefixes)
        bias = torch.from_numpy(np.log(rates / (1 - rates)).astype(np.float32))
        for head in self.heads:
            head.register_parameter("bias", nn.Parameter(bias.clone()))

    def forward(self, x: Tensor) -> list[Tensor]:
        """Give each head's logits: (rows, n_targets)."""
        vectors = self.encoder(x)
        return [
            head(vectors[:, :prefix])
            for head, prefix in zip(self.heads, self.prefixes, strict=True)
        ]


class FutureWindow(Block):
    """A vector from which a linear model can tell what a client does in the next days.

    A network reads the client's :class:`~ubp_platform.blocks.counters.Counters` at earlier cutoffs
    of the same history (:mod:`~ubp_platform.blocks.pseudo_cutoffs`) and learns what came after
    them: whether the client buys, adds, visits or searches, and which of the shop's top categories,
    products and prices are bought and added. Its first 8, 16, 32, … numbers are each as good as so
    few can be.

    Parameters
    ----------
    days : int
        How far it looks ahead.
    cutoffs : int
        How many earlier cutoffs, ``days`` apart, it learns from at most.
    clients : int
        How many clients it learns from at most; drawn with the seed.
    top : int
        Of how many categories, products and prices it learns who buys and adds them.
    width, hidden : int
        Numbers in the vector, and in the layer before it.
    dropout : float
        Of the hidden layer.
    batch_size : int
    learning_rate : float
        Of Adam, at its height; it rises and falls once over ``max_epochs``.
    max_epochs : int
    patience : int
        Epochs without a better validation loss after which training ends.
    held_out : float
        Share of the clients that validate and do not train.
    threads : int, optional
        CPU threads; all cores by default.
    """

    name = "future_window"
    needs = EVENT_TYPES
    normalization = "standard"

    days: PositiveInt = 14
    cutoffs: PositiveInt = 6
    clients: PositiveInt = 50_000
    top: PositiveInt = 100
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
    encoder_: Any = field(init=False, repr=False)

    @classmethod
    def definition(cls) -> str:  # noqa: D102
        return Counters.definition()

    def _fit(self, history: History, progress: ProgressFactory, checkpoint: Checkpoint) -> None:
        self.counters_ = Counters().fit(history)
        window = timedelta(days=self.days)
        wanted = drawn(history.clients, self.clients, self.seed)
        found = examples(history, self.counters_, window, self.cutoffs, self.top, wanted)
        if found is None:
            raise BlockUnavailable(
                f"nothing is known of what clients did in {self.days} days after a week or more: "
                f"no history that ends {self.days} days before {history.cutoff:%Y-%m-%d %H:%M:%S}"
            )
        self.report_.clients = len(np.unique(found.client_ids))
        logarithms = np.log1p(found.inputs)
        self.center_ = logarithms.mean(axis=0, dtype=np.float64).astype(np.float32)
        deviation = logarithms.std(axis=0, dtype=np.float64)
        self.deviation_ = np.where(deviation > 1e-6, deviation, 1).astype(np.float32)
        with threads(self.threads), seeded(self.seed):
            learner = _Learner(self, found, self._scaled(logarithms))
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
        """Give the lengths that the vector is good at: 8, 16, 32, … and all of it."""
        powers = [2**power for power in range(3, 20) if 2**power < self.width]
        return [*powers, self.width]

    def encoder(self, inputs: int) -> Encoder:
        """Make the unfitted encoder."""
        return Encoder(inputs, self.hidden, self.width, self.dropout)

    def _scaled(self, logarithms: np.ndarray) -> np.ndarray:
        """Bring counters' logarithms to the scale that the encoder takes: of the same shape."""
        scaled: np.ndarray = (logarithms - self.center_) / self.deviation_
        return scaled.clip(-_FAR, _FAR)

    def encode(self, history: History, progress: ProgressFactory = silent) -> Snapshot:  # noqa: D102
        counters = self.counters_.encode(history)
        inputs = torch.from_numpy(self._scaled(np.log1p(counters.vectors)))
        vectors = np.empty((len(inputs), self.width), np.float32)
        self.encoder_.eval()
        bar = progress(f"{self.name}: encode", len(inputs), "clients")
        with threads(self.threads), torch.inference_mode(), bar as advance:
            for first in range(0, len(inputs), _ROWS):
                rows = slice(first, first + _ROWS)
                vectors[rows] = self.encoder_(inputs[rows].to(device())).cpu().numpy()
                advance(len(inputs[rows]))
        return Snapshot(history.cutoff, counters.client_ids, vectors)

    def state(self) -> dict[str, np.ndarray]:  # noqa: D102
        weights = self.encoder_.state_dict()
        return {
            **{f"counters.{name}": array for name, array in self.counters_.state().items()},
            **{f"encoder.{name}": tensor.cpu().numpy() for name, tensor in weights.items()},
            "center": self.center_,
            "deviation": self.deviation_,
        }

    def restore(self, arrays: dict[str, np.ndarray]) -> None:  # noqa: D102
        self.counters_ = Counters()
        self.counters_.restore(below(arrays, "counters"))
        self.center_, self.deviation_ = arrays["center"], arrays["deviation"]
        self.encoder_ = self.encoder(len(self.center_))
        weights = below(arrays, "encoder").items()
        self.encoder_.load_state_dict({name: torch.from_numpy(array) for name, array in weights})
        self.encoder_.to(device())


class _Learner(TorchLearner):
    """The epochs of the network; some clients are held out for validation.

    Parameters
    ----------
    block : FutureWindow
    found : Examples
    inputs : ndarray of float32, shape (n_examples, dim)
        Scaled.
    """

    unit = "examples"

    def __init__(self, block: FutureWindow, found: Examples, inputs: np.ndarray) -> None:
        rng = np.random.default_rng(block.seed)
        clients = rng.permutation(np.unique(found.client_ids))
        held_out = np.isin(found.client_ids, clients[: int(block.held_out * len(clients))])
        self._training = np.flatnonzero(~held_out)
        # Of very few clients none is held out, and the training loss decides.
        self._validation = np.flatnonzero(held_out) if held_out.any() else self._training
        self.epoch_size = float(len(self._training))
        self._batch_size, self._device = block.batch_size, device()
        self._inputs, self._targets = torch.from_numpy(inputs), found.targets
        rates = np.asarray(found.targets.mean(axis=0), np.float64).ravel().clip(1e-6, 1 - 1e-6)
        self._weights = torch.from_numpy(_weights(rates, found.groups)).to(self._device)
        self.encoder = block.encoder(inputs.shape[1])
        network = Network(self.encoder, block.prefixes(), rates).to(self._device)
        steps = block.max_epochs * -(-len(self._training) // block.batch_size)
        super().__init__(network, Optimizers(network, steps, block.learning_rate), rng)

    def epoch(self, advance: Advance) -> dict[str, float]:
        """Train on each batch once, then validate; a loss of 1 is that of the mean rates."""
        self._network.train()
        train = 0.0
        order = self._rng.permutation(self._training)
        for first in range(0, len(order), self._batch_size):
            rows = order[first : first + self._batch_size]
            self._optimizers.zero_grad()
            loss = self._loss(rows)
            (loss / len(rows)).backward()
            self._optimizers.step()
            train += loss.item()
            advance(len(rows))
        return {
            "train": train / len(self._training),
            "validation": self._validate() / len(self._validation),
        }

    @torch.inference_mode()
    def _validate(self) -> float:
        self._network.eval()
        starts = range(0, len(self._validation), _ROWS)
        return sum(self._loss(self._validation[at : at + _ROWS]).item() for at in starts)

    def _loss(self, rows: np.ndarray) -> Tensor:
        """Sum the loss over examples, averaged over prefixes and groups of targets."""
        targets = torch.from_numpy(self._targets[rows].toarray()).to(self._device)
        losses = [
            binary_cross_entropy_with_logits(logits, targets, self._weights, reduction="sum")
            for logits in self._network(self._inputs[rows].to(self._device))
        ]
        return torch.stack(losses).mean()


def _weights(rates: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """Weigh targets so that every group counts as much: float32, shape (n_targets,).

    A group's loss is divided by what it is of the mean rates, so that it starts at 1.
    """
    entropy = -(rates * np.log(rates) + (1 - rates) * np.log(1 - rates))
    there, group = np.unique(groups, return_inverse=True)
    weights: np.ndarray = 1 / np.bincount(group, entropy)[group] / len(there)
    return weights.astype(np.float32)
