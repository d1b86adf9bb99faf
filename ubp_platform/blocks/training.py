"""Fitting a network on ragged sequences: epochs, early stopping, checkpoints, devices."""

import math
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn

from ubp_platform.blocks.base import FitReport, Params
from ubp_platform.blocks.checkpoint import Checkpoint
from ubp_platform.blocks.ragged import Batch, Batches
from ubp_platform.errors import UBPError
from ubp_platform.progress import ProgressFactory

#: Positions whose logits are in memory at once.
POSITIONS_A_SLICE = 1024


class TrainingParams(Params):
    """How a network is fitted.

    Parameters
    ----------
    batch_size : int
        Clients in a batch.
    learning_rate : float
        Of Adam, at its height; it rises and falls once over ``max_epochs``.
    table_learning_rate : float, optional
        The same of sparse embedding tables, whose rows are moved only when they are used;
        ``learning_rate`` by default.
    max_epochs : int
    patience : int
        Epochs without a better validation loss after which training ends.
    held_out : float
        Share of the clients that judge and do not train.
    threads : int, optional
        CPU threads; all cores by default. The steps of a small network are so short that a second
        thread gains little when cores are free and costs a multiple when they are not.
    """

    batch_size: int = Field(256, ge=1)
    learning_rate: float = Field(1e-3, gt=0)
    table_learning_rate: float | None = Field(None, gt=0)
    max_epochs: int = Field(10, ge=1)
    patience: int = Field(3, ge=1)
    held_out: float = Field(0.1, gt=0, lt=1)
    threads: int | None = Field(None, ge=1)


class SequenceNetwork(Protocol):
    """What a network must offer to be fitted on sequences; it is a ``torch.nn.Module`` as well."""

    def __call__(self, batch: Batch) -> Tensor:
        """Give what the heads read at the real positions: (positions, hidden)."""
        ...

    def cross_entropy(self, said: Tensor, targets: Tensor) -> Tensor:
        """Sum the loss over fields and positions.

        Parameters
        ----------
        said : Tensor of float, shape (positions, hidden)
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
    params : TrainingParams
    steps : int
        Batches in all epochs.
    """

    network: nn.Module
    params: TrainingParams
    steps: int
    _parts: list[tuple[torch.optim.Optimizer, Any]] = field(init=False)

    def __post_init__(self) -> None:
        sparse = [
            module.weight
            for module in self.network.modules()
            if isinstance(module, nn.Embedding) and module.sparse
        ]
        known = {id(weight) for weight in sparse}
        dense = [weight for weight in self.network.parameters() if id(weight) not in known]
        rate = self.params.learning_rate
        made: list[tuple[torch.optim.Optimizer, float]] = [
            (torch.optim.Adam(dense, fused=True), rate)
        ]
        if sparse:
            made.append((torch.optim.SparseAdam(sparse), self.params.table_learning_rate or rate))
        self._parts = [
            (
                optimizer,
                torch.optim.lr_scheduler.OneCycleLR(
                    optimizer,
                    max_lr=height,
                    total_steps=self.steps + 1,
                    pct_start=0.1,
                ),
            )
            for optimizer, height in made
        ]

    def zero_grad(self) -> None:
        """Forget the gradients."""
        for optimizer, _ in self._parts:
            optimizer.zero_grad()

    def step(self) -> None:
        """Move the weights, then the learning rate."""
        for optimizer, schedule in self._parts:
            optimizer.step()
            schedule.step()

    def state(self) -> tuple[dict[str, np.ndarray], list[Any]]:
        """Give the moments as arrays and the rest JSON-ready."""
        arrays, said = {}, []
        for part, (optimizer, schedule) in enumerate(self._parts):
            state = optimizer.state_dict()
            for weight, moments in state["state"].items():
                for name, value in moments.items():
                    key = f"optimizer.{part}.{weight}.{name}"
                    arrays[key] = torch.as_tensor(value).cpu().numpy()
            said.append([state["param_groups"], schedule.state_dict()])
        return arrays, said

    def restore(self, arrays: dict[str, np.ndarray], said: list[Any]) -> None:
        """Take back what :meth:`state` gave."""
        for part, (optimizer, schedule) in enumerate(self._parts):
            moments: dict[int, dict[str, Any]] = {}
            for key, array in arrays.items():
                kind, *place = key.split(".")
                if kind == "optimizer" and int(place[0]) == part:
                    # SparseAdam counts its steps in Python; a tensor would round otherwise.
                    counted = array.dtype.kind == "i"
                    value = array.item() if counted else torch.from_numpy(array)
                    moments.setdefault(int(place[1]), {})[place[2]] = value
            groups, schedule_state = said[part]
            optimizer.load_state_dict({"state": moments, "param_groups": groups})
            schedule.load_state_dict(schedule_state)


class Fit:
    """One fit of a network: runs its epochs and keeps the weights of the best.

    Parameters
    ----------
    name : str
        The block's, for the progress bars.
    network : SequenceNetwork
        On its device; holds the best epoch's weights in the end.
    batches : Batches
    params : TrainingParams
    report : FitReport
        Filled in: ``clients``, ``curves``, ``loss``, and ``complete`` and ``note`` where the fit
        was interrupted.
    """

    def __init__(
        self,
        name: str,
        network: Any,
        batches: Batches,
        params: TrainingParams,
        report: FitReport,
    ) -> None:
        self._name, self._network, self._batches = name, network, batches
        accelerate(network, batches.device)
        self._params, self._report = params, report
        self._rng = np.random.default_rng(params.seed)
        clients = self._rng.permutation(np.flatnonzero(batches.said))
        count = len(clients)
        # Of very few clients none is held out, and the training loss decides.
        held_out = clients[: int(params.held_out * count)]
        self._training = clients[len(held_out) :]
        self._validation = held_out if len(held_out) else self._training
        steps = -(-len(self._training) // params.batch_size)  # an epoch
        self._mean_positions = batches.positions(self._training) / steps
        self._optimizers = Optimizers(network, params, params.max_epochs * steps)
        self._best = 0
        self._weights: dict[str, Tensor] = {}
        report.clients = count
        report.curves = {"train": [], "validation": []}

    def run(self, progress: ProgressFactory, checkpoint: Checkpoint) -> None:
        """Run the epochs that are left; Ctrl-C keeps the best of those that were run."""
        self._resume(checkpoint)
        curves, params = self._report.curves, self._params
        try:
            while not self._over():
                title = f"{self._name}: epoch {len(curves['train']) + 1}/{params.max_epochs}"
                self._epoch(title, progress)
                self._save(checkpoint)
        except KeyboardInterrupt:
            if not self._best:
                raise
            done = f"epoch {len(curves['validation'])}"
            self._report.interrupted(done, params.max_epochs, self._best)
        self._network.load_state_dict(self._weights)
        self._report.loss = curves["validation"][self._best - 1]

    def _over(self) -> bool:
        done = len(self._report.curves["validation"])
        return done >= self._params.max_epochs or done - self._best >= self._params.patience

    def _epoch(self, title: str, progress: ProgressFactory) -> None:
        batches, curves = self._batches, self._report.curves
        with progress(title, batches.positions(self._training), "tokens") as advance:
            loss = 0.0
            for batch in batches.shuffled(self._training, self._rng):
                loss += training_step(self._network, batch, self._optimizers, self._mean_positions)
                advance(batch.positions)
            validation = (batch for _, batch in batches.sorted(self._validation))
            judged = evaluate(self._network, validation)
        # Both at once: an interrupted epoch leaves no half of itself.
        train = loss / batches.positions(self._training)
        validation_loss = judged / batches.positions(self._validation)
        epoch = len(curves["train"]) + 1
        if not math.isfinite(validation_loss):
            raise UBPError(
                f"{self._name}: the loss is no longer a number in epoch {epoch}; "
                f"leave the block out with --skip {self._name}"
            )
        if not self._best or validation_loss < curves["validation"][self._best - 1]:
            self._weights = {k: v.clone() for k, v in self._network.state_dict().items()}
            self._best = epoch
        curves["train"].append(train)
        curves["validation"].append(validation_loss)

    def _save(self, checkpoint: Checkpoint) -> None:
        moments, said = self._optimizers.state()
        weights = {
            **{f"network.{k}": v for k, v in self._network.state_dict().items()},
            **{f"best.{k}": v for k, v in self._weights.items()},
            **{f"random.{k}": v for k, v in _random_states().items()},
        }
        arrays = {name: tensor.cpu().numpy() for name, tensor in weights.items()}
        checkpoint.save(
            {**arrays, **moments},
            {
                "curves": self._report.curves,
                "best": self._best,
                "optimizers": said,
                "shuffling": self._rng.bit_generator.state,
            },
        )

    def _resume(self, checkpoint: Checkpoint) -> None:
        if (found := checkpoint.load()) is None:
            return
        arrays, said = found
        kept: dict[str, dict[str, Tensor]] = {"network": {}, "best": {}, "random": {}}
        for key, array in arrays.items():
            kind, _, name = key.partition(".")
            if kind in kept:
                kept[kind][name] = torch.from_numpy(array)
        self._network.load_state_dict(kept["network"])
        self._weights = kept["best"]
        _set_random_states(kept["random"])
        self._optimizers.restore(arrays, said["optimizers"])
        self._rng.bit_generator.state = said["shuffling"]
        self._best, self._report.curves = said["best"], said["curves"]
        self._report.resumed(f"epoch {len(self._report.curves['train'])}")


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
        said = network(batch)
    divisor = math.sqrt(batch.positions * (mean or batch.positions))
    slices = said.split(POSITIONS_A_SLICE)
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
        said = network(batch).split(POSITIONS_A_SLICE)
        for part, targets in zip(said, batch.targets.split(POSITIONS_A_SLICE, dim=1), strict=True):
            total += network.cross_entropy(part, targets).item()
    return total


def mixed_precision(device_type: str) -> torch.autocast:
    """Compute in bfloat16 where there is a GPU."""
    return torch.autocast(device_type, torch.bfloat16, enabled=device_type == "cuda")


def accelerate(network: nn.Module, device: torch.device) -> None:
    """Compile the forward pass where there is a GPU and the network's class says that it pays.

    Compiling takes longer than a CPU's whole fit of the small preset, and recurrent networks run in
    cuDNN's kernels already. Names in the state dict and results stay; lengths may vary.
    """
    if device.type == "cuda" and getattr(network, "compiled", False):
        network.compile(dynamic=True)


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
        torch.manual_seed(seed)
        yield
