"""Fitting a network on ragged sequences: steps, optimizers, devices; its epochs for a trainer."""

import math
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from ubp_platform.blocks.ragged import Batch, Batches
from ubp_platform.blocks.trainer import Arrays
from ubp_platform.progress import Advance

#: Positions whose logits are in memory at once.
POSITIONS_A_SLICE = 1024


class SequenceNetwork(Protocol):
    """What a network must offer to be fitted on sequences; it is a ``torch.nn.Module`` as well."""

    def __call__(self, batch: Batch) -> Tensor:
        """Give the hidden states at the predicted positions: (positions, hidden)."""
        ...

    def cross_entropy(self, hidden: Tensor, targets: Tensor) -> Tensor:
        """Sum the loss over fields and positions.

        Parameters
        ----------
        hidden : Tensor of float, shape (positions, hidden)
            Hidden states, from which the heads make logits.
        targets : Tensor of int64, shape (n_fields, positions)
        """
        ...


@dataclass
class Optimizers:
    """Adam with one rise and fall of the learning rate; lazy Adam for sparse embedding tables.

    Parameters
    ----------
    network : torch.nn.Module
        Embeddings made with ``sparse=True`` get :class:`torch.optim.SparseAdam`, which touches
        only the rows that a batch has used.
    steps : int
        Batches in all epochs.
    learning_rate : float
        Of Adam, at its height.
    table_learning_rate : float, optional
        The same of sparse embedding tables; ``learning_rate`` by default.
    """

    network: nn.Module
    steps: int
    learning_rate: float = 1e-3
    table_learning_rate: float | None = None
    _parts: list[tuple[torch.optim.Optimizer, Any]] = field(init=False)

    def __post_init__(self) -> None:
        sparse = [
            module.weight
            for module in self.network.modules()
            if isinstance(module, nn.Embedding) and module.sparse
        ]
        known = {id(weight) for weight in sparse}
        dense = [weight for weight in self.network.parameters() if id(weight) not in known]
        rate = self.learning_rate
        made: list[tuple[torch.optim.Optimizer, float]] = [
            (torch.optim.Adam(dense, fused=True), rate)
        ]
        if sparse:
            made.append((torch.optim.SparseAdam(sparse), self.table_learning_rate or rate))
        self._parts = [
            (
                optimizer,
                torch.optim.lr_scheduler.OneCycleLR(
                    optimizer,
                    max_lr=height,
                    # Of 10 steps torch lets the rise take none, and divides by it.
                    total_steps=self.steps + (2 if self.steps == 9 else 1),
                    pct_start=0.1,
                ),
            )
            for optimizer, height in made
        ]

    def zero_grad(self) -> None:
        """Reset the gradients."""
        for optimizer, _ in self._parts:
            optimizer.zero_grad()

    def step(self) -> None:
        """Move the weights, then the learning rate."""
        for optimizer, schedule in self._parts:
            optimizer.step()
            schedule.step()

    def state(self) -> tuple[dict[str, np.ndarray], list[Any]]:
        """Give the moments as arrays and the rest JSON-ready."""
        arrays, rest = {}, []
        for part, (optimizer, schedule) in enumerate(self._parts):
            state = optimizer.state_dict()
            for weight, moments in state["state"].items():
                for name, value in moments.items():
                    key = f"optimizer.{part}.{weight}.{name}"
                    arrays[key] = torch.as_tensor(value).cpu().numpy()
            rest.append([state["param_groups"], schedule.state_dict()])
        return arrays, rest

    def restore(self, arrays: dict[str, np.ndarray], rest: list[Any]) -> None:
        """Take back what :meth:`state` gave."""
        for part, (optimizer, schedule) in enumerate(self._parts):
            moments: dict[int, dict[str, Any]] = {}
            for key, array in arrays.items():
                kind, *path = key.split(".")
                if kind == "optimizer" and int(path[0]) == part:
                    # SparseAdam counts its steps in Python; a tensor would round otherwise.
                    counted = array.dtype.kind == "i"
                    value = array.item() if counted else torch.from_numpy(array)
                    moments.setdefault(int(path[1]), {})[path[2]] = value
            groups, schedule_state = rest[part]
            optimizer.load_state_dict({"state": moments, "param_groups": groups})
            schedule.load_state_dict(schedule_state)


class TorchLearner:
    """What learners of torch networks share: weights, and all that the next epoch depends on.

    Parameters
    ----------
    network : torch.nn.Module
        On its device.
    optimizers : Optimizers
    rng : numpy.random.Generator
        Of the order of batches.
    """

    def __init__(self, network: Any, optimizers: Optimizers, rng: np.random.Generator) -> None:
        self._network, self._optimizers, self._rng = network, optimizers, rng

    def weights(self) -> Arrays:
        """Copy the network's state dict."""
        return {k: v.cpu().numpy().copy() for k, v in self._network.state_dict().items()}

    def load_weights(self, weights: Arrays) -> None:
        """Load a state dict."""
        self._network.load_state_dict({k: torch.from_numpy(v) for k, v in weights.items()})

    def state(self) -> tuple[Arrays, dict[str, Any]]:
        """Give weights, the optimizers' moments and schedules, and all random generators."""
        moments, schedules = self._optimizers.state()
        arrays = {
            **{f"network.{k}": v.cpu().numpy() for k, v in self._network.state_dict().items()},
            **{f"random.{k}": v.cpu().numpy() for k, v in _random_states().items()},
            **moments,
        }
        return arrays, {"optimizers": schedules, "shuffling": self._rng.bit_generator.state}

    def restore(self, arrays: Arrays, rest: dict[str, Any]) -> None:
        """Take back what :meth:`state` gave."""
        kept: dict[str, dict[str, Tensor]] = {"network": {}, "random": {}}
        for key, array in arrays.items():
            kind, _, name = key.partition(".")
            if kind in kept:
                kept[kind][name] = torch.from_numpy(array)
        self._network.load_state_dict(kept["network"])
        _set_random_states(kept["random"])
        self._optimizers.restore(arrays, rest["optimizers"])
        self._rng.bit_generator.state = rest["shuffling"]


class NetworkLearner(TorchLearner):
    """The epochs of a network on sequences; some clients are held out for validation.

    Parameters
    ----------
    network : SequenceNetwork
        On its device.
    batches : Batches
    max_epochs : int
        The learning rate rises and falls once over them.
    seed : int
        Of who is held out and of the order of batches.
    held_out : float
        Share of the clients that are held out.
    learning_rate, table_learning_rate
        As in :class:`Optimizers`.

    Attributes
    ----------
    clients : int
        How many there are, held-out ones included.
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
        # Of very few clients none is held out, and the training loss decides.
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
        for batch in batches.shuffled(self._training, self._rng):
            train += training_step(self._network, batch, self._optimizers, self._mean_positions)
            advance(batch.positions)
        validation = evaluate(
            self._network, (batch for _, batch in batches.sorted(self._validation))
        )
        return {
            "train": train / batches.positions(self._training),
            "validation": validation / batches.positions(self._validation),
        }


def _random_states() -> dict[str, Tensor]:
    states = {"cpu": torch.get_rng_state()}
    if torch.cuda.is_available():
        states["cuda"] = torch.cuda.get_rng_state()
    return states


def _set_random_states(states: dict[str, Tensor]) -> None:
    torch.set_rng_state(states["cpu"])
    if "cuda" in states and torch.cuda.is_available():
        torch.cuda.set_rng_state(states["cuda"])


class _Steps(Protocol):
    def zero_grad(self) -> None: ...

    def step(self) -> None: ...


def training_step(
    network: Any, batch: Batch, optimizers: _Steps, mean: float | None = None
) -> float:
    """Learn from one batch.

    The logits are most of the memory, and of the time that fresh memory costs; they are made and
    differentiated slice by slice.

    Parameters
    ----------
    network : SequenceNetwork
    batch : Batch
    optimizers : Optimizers, or anything with ``zero_grad`` and ``step``
    mean : float, optional
        Positions of a batch on average. The loss is divided by the geometric mean of that and of
        the batch's own: divided by its own a batch of short sequences would count as much as one of
        long ones, though it says less; by the average alone it would hardly count. Both end at a
        higher validation loss. By default the batch's own.

    Returns
    -------
    float
        The summed loss of the batch.
    """
    network.train()
    optimizers.zero_grad()
    kind = batch.inputs.device.type
    with mixed_precision(kind):
        hidden = network(batch)
    divisor = math.sqrt(batch.positions * (mean or batch.positions))
    slices = hidden.split(POSITIONS_A_SLICE)
    leaves = [part.detach().requires_grad_() for part in slices]
    total = 0.0
    for leaf, targets in zip(leaves, batch.targets.split(POSITIONS_A_SLICE, dim=1), strict=True):
        with mixed_precision(kind):
            loss = network.cross_entropy(leaf, targets)
        (loss / divisor).backward()
        total += loss.item()
    torch.autograd.backward(slices, [leaf.grad for leaf in leaves])
    optimizers.step()
    return total


@torch.inference_mode()
def evaluate(network: Any, batches: Iterable[Batch]) -> float:
    """Sum the loss over batches, without dropout."""
    network.eval()
    total = 0.0
    for batch in batches:
        hidden = network(batch).split(POSITIONS_A_SLICE)
        for part, targets in zip(
            hidden, batch.targets.split(POSITIONS_A_SLICE, dim=1), strict=True
        ):
            total += network.cross_entropy(part, targets).item()
    return total


def mixed_precision(device_type: str) -> torch.autocast:
    """Compute in bfloat16 where there is a GPU."""
    return torch.autocast(device_type, torch.bfloat16, enabled=device_type == "cuda")


def device() -> torch.device:
    """The GPU where there is one."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


@contextmanager
def threads(count: int | None) -> Iterator[None]:
    """Compute on so many CPU threads; None changes nothing."""
    before = torch.get_num_threads()
    torch.set_num_threads(count or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Draw torch's random numbers from a seed, and leave its generators as they were."""
    cuda = [torch.cuda.current_device()] if torch.cuda.is_available() else []
    with torch.random.fork_rng(devices=cuda):
        # `torch.manual_seed` keeps a stack trace for each kind of device that is not there.
        torch.default_generator.manual_seed(seed)
        if cuda:
            torch.cuda.manual_seed(seed)
        yield
