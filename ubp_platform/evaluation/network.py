"""The challenge's downstream network: fitted on one window, judged on the next."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, gelu

from ubp_platform.blocks.training import device, seeded
from ubp_platform.choices import NetworkName
from ubp_platform.evaluation.metrics import Metrics, measure
from ubp_platform.evaluation.representations import Representation
from ubp_platform.evaluation.tasks import Task

BATCH, LEARNING_RATE, BLOCKS = 128, 1e-3, 3
#: The first seed is the challenge's.
SEED = 1278


class Size(NamedTuple):
    """How large a network is, and how long it learns.

    Parameters
    ----------
    thin, wide : int
        Width between the blocks and within them.
    epochs : int
    """

    thin: int
    wide: int
    epochs: int


#: The challenge's, made for a million clients; and one for shops of thousands, whose three epochs
#: would be a few hundred updates (docs/notes/results-paper.md).
NETWORKS: dict[NetworkName, Size] = {"paper": Size(2048, 4096, 3), "small": Size(128, 256, 12)}
# Judging needs no gradients: larger batches are faster.
_JUDGED_AT_ONCE = 2048


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
        """Give what is added to the input: (rows, thin)."""
        narrowed: Tensor = self.narrow(gelu(self.widen(x)))
        return narrowed


class Network(nn.Module):
    """Three residual blocks between two linear maps (organisers' repository).

    Layers are made in the organisers' order, so that a seed gives their weights.

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
        """Give logits: (rows, outputs)."""
        x = self.norm_in(self.project(x))
        for norm, block in zip(self.norms, self.blocks, strict=True):
            x = x + block(norm(x))
        logits: Tensor = self.answer(self.norm_out(x))
        return logits


@dataclass(frozen=True)
class Fitted:
    """What a network has learned of a task.

    Parameters
    ----------
    epochs : list of Metrics
        After each epoch, on the validation window.
    probabilities : ndarray of float32, shape (n_rows, n_classes)
        Of the best epoch.
    seconds : float
    """

    epochs: list[Metrics]
    probabilities: np.ndarray
    seconds: float

    @property
    def best_epoch(self) -> int:
        """The one with the highest score, counted from 0."""
        return int(np.argmax([metrics.score for metrics in self.epochs]))

    @property
    def best(self) -> Metrics:
        """Its metrics."""
        return self.epochs[self.best_epoch]


def fit(
    representation: Representation,
    task: Task,
    network: NetworkName = "paper",
    seed: int = SEED,
    advance: Callable[[float], None] = lambda amount: None,
) -> Fitted:
    """Fit the network as the challenge does: the epoch that counts is the validation window's best.

    Rows come in the order of the task's; nothing is shuffled.

    Parameters
    ----------
    representation : Representation
    task : Task
    network : {"paper", "small"}
    seed : int
        Of the network's first weights.
    advance : callable
        Is told rows as they are learned from.
    """
    start, epochs, best = time.perf_counter(), list[Metrics](), torch.empty(0)
    for net in learn(representation, task.rows, task.train, NETWORKS[network], seed, advance):
        probabilities = predict(net, representation, task.rows)
        epochs.append(measure(task, probabilities))
        # Of equals the first, as `Fitted.best_epoch` has it.
        if epochs[-1].score > max((metrics.score for metrics in epochs[:-1]), default=-1):
            best = probabilities
    return Fitted(epochs, best.cpu().numpy(), time.perf_counter() - start)


def learn(
    representation: Representation,
    rows: np.ndarray,
    labels: np.ndarray,
    size: Size,
    seed: int,
    advance: Callable[[float], None],
) -> Iterator[Network]:
    """Fit the network, and give it after each epoch; it is the same one that learns on.

    Parameters
    ----------
    representation : Representation
    rows : ndarray of int64, shape (n,)
        Whom to learn from, as positions in the list of clients, ascending.
    labels : ndarray of uint8, shape (n, n_classes)
    size : Size
    seed : int
        Of the first weights.
    advance : callable
        Is told rows as they are learned from.

    Yields
    ------
    Network
    """
    where = device()
    with seeded(seed):
        net = Network(representation.width, labels.shape[1], size.thin, size.wide).to(where)
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
def predict(net: Network, representation: Representation, rows: np.ndarray) -> Tensor:
    """Predict some clients.

    Parameters
    ----------
    net : Network
    representation : Representation
    rows : ndarray of int64, shape (n,)
        Positions in the list of clients, ascending.

    Returns
    -------
    Tensor of float32, shape (n, n_classes)
    """
    net.eval()
    where, answers = device(), []
    for first in range(0, len(rows), _JUDGED_AT_ONCE):
        some = rows[first : first + _JUDGED_AT_ONCE]
        answers.append(net(representation.batch(some).to(where)).sigmoid())
    return torch.cat(answers)
