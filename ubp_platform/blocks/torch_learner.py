"""What learners of torch networks share: optimizers, and a state that a fit can resume from."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ubp_platform.blocks.processes import current_processes
from ubp_platform.blocks.state_arrays import Arrays, strip_prefix, with_prefix
from ubp_platform.blocks.torch_runtime import (
    load_weight_arrays,
    random_states,
    set_random_states,
    weight_arrays,
)


@dataclass
class Optimizers:
    """Adam with a one-cycle learning rate; lazy Adam for sparse embedding tables.

    Parameters
    ----------
    network : torch.nn.Module
        Embeddings made with ``sparse=True`` get :class:`torch.optim.SparseAdam`, which updates
        only the rows that a batch has used.
    steps : int
        Batches in all epochs.
    learning_rate : float
        Peak learning rate of Adam.
    table_learning_rate : float, optional
        Peak learning rate of sparse embedding tables; ``learning_rate`` by default.
    """

    network: nn.Module
    steps: int
    learning_rate: float = 1e-3
    table_learning_rate: float | None = None
    _dense: list[Tensor] = field(init=False)
    _sparse: list[Tensor] = field(init=False)
    _scheduled: list[tuple[torch.optim.Optimizer, Any]] = field(init=False)

    def __post_init__(self) -> None:
        self._processes = current_processes()
        self._sparse = [
            module.weight
            for module in self.network.modules()
            if isinstance(module, nn.Embedding) and module.sparse
        ]
        sparse_ids = {id(weight) for weight in self._sparse}
        self._dense = [
            weight for weight in self.network.parameters() if id(weight) not in sparse_ids
        ]
        peaks: list[tuple[torch.optim.Optimizer, float]] = [
            (torch.optim.Adam(self._dense, fused=True), self.learning_rate)
        ]
        if self._sparse:
            table_rate = self.table_learning_rate or self.learning_rate
            peaks.append((torch.optim.SparseAdam(self._sparse), table_rate))
        # With 10 total steps the warm-up of OneCycleLR has none, and torch divides by zero.
        total_steps = self.steps + (2 if self.steps == 9 else 1)
        schedule = torch.optim.lr_scheduler.OneCycleLR
        self._scheduled = [
            (optimizer, schedule(optimizer, peak, total_steps=total_steps, pct_start=0.1))
            for optimizer, peak in peaks
        ]

    def zero_grad(self) -> None:
        """Reset the gradients."""
        for optimizer, _ in self._scheduled:
            optimizer.zero_grad()

    def step(self) -> None:
        """Update the weights by the gradients of all processes, then the learning rates."""
        self._processes.add_gradients(self._dense)
        self._processes.add_sparse_gradients(self._sparse)
        for optimizer, schedule in self._scheduled:
            optimizer.step()
            schedule.step()

    def state(self) -> tuple[Arrays, list[Any]]:
        """Return the moments as arrays, and the rest JSON-ready."""
        arrays, rest = {}, []
        for index, (optimizer, schedule) in enumerate(self._scheduled):
            state = optimizer.state_dict()
            for weight, moments in state["state"].items():
                for name, value in moments.items():
                    key = f"optimizer.{index}.{weight}.{name}"
                    arrays[key] = torch.as_tensor(value).cpu().numpy()
            rest.append([state["param_groups"], schedule.state_dict()])
        return arrays, rest

    def restore(self, arrays: Arrays, rest: list[Any]) -> None:
        """Restore what :meth:`state` returned."""
        for index, (optimizer, schedule) in enumerate(self._scheduled):
            moments: dict[int, dict[str, Any]] = {}
            for key, array in strip_prefix(arrays, f"optimizer.{index}").items():
                weight, name = key.split(".")
                # SparseAdam counts its steps as a Python integer.
                integer = array.dtype.kind == "i"
                value = array.item() if integer else torch.from_numpy(array)
                moments.setdefault(int(weight), {})[name] = value
            groups, schedule_state = rest[index]
            optimizer.load_state_dict({"state": moments, "param_groups": groups})
            schedule.load_state_dict(schedule_state)


class TorchLearner:
    """A :class:`~ubp_platform.blocks.trainer.Learner` of a torch network, without its epochs.

    Parameters
    ----------
    network : torch.nn.Module
        On its device.
    optimizers : Optimizers
    rng : numpy.random.Generator
        Draws the order of batches.
    """

    def __init__(self, network: Any, optimizers: Optimizers, rng: np.random.Generator) -> None:
        self._network, self._optimizers, self._rng = network, optimizers, rng
        self._processes = current_processes()

    def weights(self) -> Arrays:
        """Copy the network's state dict."""
        return {name: array.copy() for name, array in weight_arrays(self._network).items()}

    def load_weights(self, weights: Arrays) -> None:
        """Load a state dict."""
        load_weight_arrays(self._network, weights)

    def state(self) -> tuple[Arrays, dict[str, Any]]:
        """Return weights, moments, learning rate schedules and random states."""
        moments, schedules = self._optimizers.state()
        arrays = {
            **with_prefix("network", weight_arrays(self._network)),
            **with_prefix("random", random_states()),
            **moments,
        }
        return arrays, {"optimizers": schedules, "shuffling": self._rng.bit_generator.state}

    def restore(self, arrays: Arrays, metadata: dict[str, Any]) -> None:
        """Restore what :meth:`state` returned."""
        self.load_weights(strip_prefix(arrays, "network"))
        set_random_states(strip_prefix(arrays, "random"))
        self._optimizers.restore(arrays, metadata["optimizers"])
        self._rng.bit_generator.state = metadata["shuffling"]
