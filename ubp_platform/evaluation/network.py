"""The challenge's downstream network: fitted on one window, evaluated on the next."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, gelu

from ubp_platform.blocks.torch_runtime import device, seeded
from ubp_platform.choices import NetworkName
from ubp_platform.evaluation.metrics import Metrics, measure
from ubp_platform.evaluation.representations import Representation
from ubp_platform.evaluation.tasks import Task

BATCH, LEARNING_RATE, BLOCKS = 128, 1e-3, 3
#: The challenge's seed, and the first one used here.
SEED = 1278


class NetworkSize(NamedTuple):
    """The size of a network and of its training.

    Parameters
    ----------
    thin, wide : int
        Width between the residual blocks and within them.
    epochs : int
    """

    thin: int
    wide: int
    epochs: int


#: The challenge's network, for a million clients; and one for shops with thousands, whose three
#: epochs would be only a few hundred updates (docs/notes/results-paper.md).
NETWORKS: dict[NetworkName, NetworkSize] = {
    "paper": NetworkSize(2048, 4096, 3),
    "small": NetworkSize(128, 256, 12),
}
# Prediction stores no gradients, so larger batches are faster.
_PREDICTION_BATCH = 2048


class Bottleneck(nn.Module):
    """An inverted bottleneck (Bachmann et al. 2023, "Scaling MLPs").

    Parameters
    ----------
    thin, wide : int
    """

    def __init__(self, thin: int, wide: int) -> None:
        super().__init__()
        self.widen = nn.Linear(thin, wide)
        self.narrow = nn.Linear(wide, thin)

    def forward(self, x: Tensor) -> Tensor:
        """Return the residual to add to the input: (rows, thin)."""
        narrowed: Tensor = self.narrow(gelu(self.widen(x)))
        return narrowed


class DownstreamNetwork(nn.Module):
    """Three residual blocks between two linear maps (organisers' repository).

    Layers are created in the organisers' order, so that a seed gives the same initial weights.

    Parameters
    ----------
    inputs, outputs : int
    thin, wide : int
    """

    def __init__(self, inputs: int, outputs: int, thin: int, wide: int) -> None:
        super().__init__()
        self.project = nn.Linear(inputs, thin)
        self.norm_in = nn.LayerNorm(thin)
        self.norms = nn.ModuleList(nn.LayerNorm(thin) for _ in range(BLOCKS))
        self.blocks = nn.ModuleList(Bottleneck(thin, wide) for _ in range(BLOCKS))
        self.norm_out = nn.LayerNorm(thin)
        self.answer = nn.Linear(thin, outputs)

    def forward(self, x: Tensor) -> Tensor:
        """Return logits: (rows, outputs)."""
        x = self.norm_in(self.project(x))
        for norm, block in zip(self.norms, self.blocks, strict=True):
            x = x + block(norm(x))
        logits: Tensor = self.answer(self.norm_out(x))
        return logits


@dataclass(frozen=True)
class NetworkFit:
    """The outcome of fitting a network on a task.

    Parameters
    ----------
    epochs : list of Metrics
        On the validation window, after each epoch.
    probabilities : ndarray of float32, shape (n_rows, n_classes)
        Predictions of the best epoch.
    seconds : float
    """

    epochs: list[Metrics]
    probabilities: np.ndarray
    seconds: float

    @property
    def best_epoch(self) -> int:
        """Index of the epoch with the highest score; ties go to the earlier one."""
        return int(np.argmax([metrics.score for metrics in self.epochs]))

    @property
    def best(self) -> Metrics:
        """Metrics of the best epoch."""
        return self.epochs[self.best_epoch]


def fit(
    representation: Representation,
    task: Task,
    network: NetworkName = "paper",
    seed: int = SEED,
    advance: Callable[[float], None] = lambda amount: None,
) -> NetworkFit:
    """Fit the network by the challenge's protocol: the best epoch on the validation window counts.

    Rows are used in the order of the task; nothing is shuffled.

    Parameters
    ----------
    representation : Representation
    task : Task
    network : {"paper", "small"}
    seed : int
        Seed of the initial weights.
    advance : callable
        Receives the number of rows of each training step.
    """
    start, epochs, best = time.perf_counter(), list[Metrics](), torch.empty(0)
    for net in learn(
        representation=representation,
        rows=task.rows,
        labels=task.train,
        size=NETWORKS[network],
        seed=seed,
        advance=advance,
    ):
        probabilities = predict(net, representation, task.rows)
        epochs.append(measure(task, probabilities))
        # Ties go to the earlier epoch, as in `NetworkFit.best_epoch`.
        if epochs[-1].score > max((metrics.score for metrics in epochs[:-1]), default=-1):
            best = probabilities
    return NetworkFit(epochs, best.cpu().numpy(), time.perf_counter() - start)


def learn(
    representation: Representation,
    rows: np.ndarray,
    labels: np.ndarray,
    size: NetworkSize,
    seed: int,
    advance: Callable[[float], None],
) -> Iterator[DownstreamNetwork]:
    """Fit the network, and yield it after each epoch: always the same object.

    Parameters
    ----------
    representation : Representation
    rows : ndarray of int64, shape (n,)
        Clients to learn from, as positions in the list of clients, ascending.
    labels : ndarray of uint8, shape (n, n_classes)
    size : NetworkSize
    seed : int
        Seed of the initial weights.
    advance : callable
        Receives the number of rows of each training step.
    """
    where = device()
    with seeded(seed):
        net = DownstreamNetwork(representation.width, labels.shape[1], size.thin, size.wide)
        net = net.to(where)
    optimizer = torch.optim.AdamW(net.parameters(), lr=LEARNING_RATE, fused=True)
    for _ in range(size.epochs):
        net.train()
        for first in range(0, len(rows), BATCH):
            batch = slice(first, first + BATCH)
            x = representation.batch(rows[batch]).to(where)
            y = torch.from_numpy(labels[batch]).to(where, torch.float32)
            optimizer.zero_grad()
            binary_cross_entropy_with_logits(net(x), y).backward()
            optimizer.step()
            advance(len(x))
        yield net


@torch.inference_mode()
def predict(net: DownstreamNetwork, representation: Representation, rows: np.ndarray) -> Tensor:
    """Predict the labels of some clients.

    Parameters
    ----------
    net : DownstreamNetwork
    representation : Representation
    rows : ndarray of int64, shape (n,)
        Positions in the list of clients, ascending.

    Returns
    -------
    Tensor of float32, shape (n, n_classes)
    """
    net.eval()
    where, probabilities = device(), []
    for first in range(0, len(rows), _PREDICTION_BATCH):
        some = rows[first : first + _PREDICTION_BATCH]
        probabilities.append(net(representation.batch(some).to(where)).sigmoid())
    return torch.cat(probabilities)
