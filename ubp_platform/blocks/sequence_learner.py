"""Fitting a network on ragged sequences: the training step, the validation loss, the epochs."""

import math
from collections.abc import Iterable
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from ubp_platform.blocks.ragged import Batch, Batches
from ubp_platform.blocks.torch_learner import Optimizers, TorchLearner
from ubp_platform.blocks.torch_runtime import mixed_precision
from ubp_platform.progress import Advance

#: Positions whose logits are in memory at once.
POSITIONS_PER_SLICE = 1024


class SequenceNetwork(Protocol):
    """The interface of a network that is fitted on sequences; it is a ``torch.nn.Module`` too."""

    def __call__(self, batch: Batch) -> Tensor:
        """Return the hidden states at the predicted positions: (positions, hidden)."""
        ...

    def cross_entropy(self, hidden: Tensor, targets: Tensor) -> Tensor:
        """Sum the loss over fields and positions: (positions, hidden), (n_fields, positions)."""
        ...


class SequenceLearner(TorchLearner):
    """The epochs of a network on sequences; some clients are held out for validation.

    Parameters
    ----------
    network : SequenceNetwork
        On its device.
    batches : Batches
    max_epochs, held_out, learning_rate, table_learning_rate
        As in :class:`~ubp_platform.blocks.sequence_block.SequenceBlock`.
    seed : int
        Seeds the choice of held-out clients and the order of batches.

    Attributes
    ----------
    clients : int
        The number of clients, held-out ones included.
    """

    unit = "tokens"

    def __init__(
        self,
        network: Any,
        batches: Batches,
        *,
        max_epochs: int,
        seed: int,
        held_out: float,
        learning_rate: float,
        table_learning_rate: float | None,
    ) -> None:
        self._batches = batches
        rng = np.random.default_rng(seed)
        clients = rng.permutation(np.flatnonzero(batches.predicted))
        self.clients = len(clients)
        # With very few clients none is held out, and the training clients validate.
        validation = clients[: int(held_out * len(clients))]
        self._training = clients[len(validation) :]
        self._validation = validation if len(validation) else self._training
        self.epoch_size = float(batches.positions(self._training))
        steps = -(-len(self._training) // batches.batch_size)  # per epoch
        self._mean_positions = self.epoch_size / steps
        optimizers = Optimizers(network, max_epochs * steps, learning_rate, table_learning_rate)
        super().__init__(network, optimizers, rng)

    def epoch(self, advance: Advance) -> dict[str, float]:
        """Train on each batch once, then validate; losses are per position."""
        batches = self._batches
        train = 0.0
        self._processes.draw_apart(self._rng)
        for clients in batches.shuffled_clients(self._training, self._rng):
            positions, share = batches.positions(clients), self._processes.share(clients)
            train += training_step(
                self._network,
                batches.gather(share) if len(share) else None,
                self._optimizers,
                self._mean_positions,
                positions,
            )
            advance(positions)
        share = self._processes.share(self._validation)
        validation = validation_loss(self._network, (batch for _, batch in batches.sorted(share)))
        return {
            "train": self._processes.total(train) / batches.positions(self._training),
            "validation": self._processes.total(validation) / batches.positions(self._validation),
        }


class _Steps(Protocol):
    def zero_grad(self) -> None: ...

    def step(self) -> None: ...


def training_step(
    network: Any,
    batch: Batch | None,
    optimizers: _Steps,
    mean: float | None = None,
    positions: int | None = None,
) -> float:
    """Learn from one batch.

    Logits take most of the memory, so they are computed and differentiated slice by slice.

    Parameters
    ----------
    network : SequenceNetwork
    batch : Batch or None
        None where another process has all of it.
    optimizers : Optimizers, or anything with ``zero_grad`` and ``step``
    mean : float, optional
        Mean number of positions per batch. The loss is divided by the geometric mean of this and
        the batch's own number: divided by its own, a batch of short sequences would weigh as much
        as one of long ones; divided by the mean alone, it would hardly count. Both end at a higher
        validation loss. By default the batch's own number.
    positions : int, optional
        The batch's own number, where several processes share the batch.

    Returns
    -------
    float
        The summed loss of the batch, or of this process's share.
    """
    network.train()
    optimizers.zero_grad()
    total = 0.0
    if batch is not None:
        total = _differentiate(network, batch, mean, positions or batch.positions)
    optimizers.step()
    return total


def _differentiate(network: Any, batch: Batch, mean: float | None, positions: int) -> float:
    device_type = batch.inputs.device.type
    with mixed_precision(device_type):
        hidden = network(batch)
    divisor = math.sqrt(positions * (mean or positions))
    slices = hidden.split(POSITIONS_PER_SLICE)
    leaves = [part.detach().requires_grad_() for part in slices]
    total = 0.0
    for leaf, targets in zip(leaves, batch.targets.split(POSITIONS_PER_SLICE, dim=1), strict=True):
        with mixed_precision(device_type):
            loss = network.cross_entropy(leaf, targets)
        (loss / divisor).backward()
        total += loss.item()
    torch.autograd.backward(slices, [leaf.grad for leaf in leaves])
    return total


@torch.inference_mode()
def validation_loss(network: Any, batches: Iterable[Batch]) -> float:
    """Sum the loss over batches, without dropout."""
    network.eval()
    total = 0.0
    for batch in batches:
        slices = network(batch).split(POSITIONS_PER_SLICE)
        targets = batch.targets.split(POSITIONS_PER_SLICE, dim=1)
        for hidden, target in zip(slices, targets, strict=True):
            total += network.cross_entropy(hidden, target).item()
    return total
