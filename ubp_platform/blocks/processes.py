"""One fit of a network by several processes: each learns from its share of every batch.

The loss of a batch is a sum over what it predicts, divided by numbers that are known beforehand. So
the gradients of the shares add up to the gradient of the batch. Weights and order of batches follow
from the seed, and are the same in all processes. What is drawn within a batch (dropout, negatives)
is not that of one process: each draws for its own share.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from copy import deepcopy
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, distributed

from ubp_platform.blocks.torch_runtime import device


@dataclass(frozen=True)
class Processes:
    """The processes that fit a network together, as one of them sees them.

    Parameters
    ----------
    rank : int
        The number of this process, counted from 0.
    count : int
    """

    rank: int = 0
    count: int = 1

    def share(self, rows: np.ndarray) -> np.ndarray:
        """Return this process's share of some rows; it may be empty.

        Of rows in order of length all shares have nearly the same work.
        """
        return rows[self.rank :: self.count]

    def total(self, number: float) -> float:
        """Add up a number of each process."""
        if self.count == 1:
            return number
        total = torch.tensor(number, dtype=torch.float64, device=device())
        distributed.all_reduce(total)
        return total.item()

    def add_gradients(self, weights: Sequence[Tensor]) -> None:
        """Replace the gradients of some weights by their sums over all processes."""
        if self.count == 1:
            return
        # A process without a share has no gradients.
        gradients = [torch.zeros_like(w) if w.grad is None else w.grad for w in weights]
        flat = torch.cat([gradient.flatten() for gradient in gradients])
        distributed.all_reduce(flat)
        for weight, part in zip(weights, flat.split([w.numel() for w in weights]), strict=True):
            weight.grad = part.view_as(weight)

    def add_sparse_gradients(self, tables: Sequence[Tensor]) -> None:
        """Do the same for tables of which a batch uses few rows."""
        if self.count == 1:
            return
        for table in tables:
            own = table.grad
            if own is None:
                own = torch.zeros_like(table, layout=torch.sparse_coo)
            own = own.coalesce()
            rows, values = self._gathered(own.indices()[0]), self._gathered(own.values())
            table.grad = torch.sparse_coo_tensor(rows[None], values, table.shape)

    def draw_apart(self, shared: np.random.Generator) -> None:
        """Seed torch so that each process draws other numbers, which ``shared`` determines.

        ``shared`` is in the same state in all processes, and stays in it.
        """
        if self.count == 1:
            return
        seed = int(deepcopy(shared).integers(2**62)) + self.rank
        torch.default_generator.manual_seed(seed)
        if torch.cuda.is_available():
            torch.cuda.manual_seed(seed)

    def _gathered(self, rows: Tensor) -> Tensor:
        """Put together the rows of all processes."""
        length = torch.tensor([len(rows)], device=rows.device)
        lengths = [torch.empty_like(length) for _ in range(self.count)]
        distributed.all_gather(lengths, length)
        counts = torch.cat(lengths).tolist()
        filled = rows.new_zeros(max(counts), *rows.shape[1:])
        filled[: len(rows)] = rows
        parts = [torch.empty_like(filled) for _ in range(self.count)]
        distributed.all_gather(parts, filled)
        return torch.cat([part[:count] for part, count in zip(parts, counts, strict=True)])


_ALONE = Processes()
_current: ContextVar[Processes] = ContextVar("processes", default=_ALONE)


def current_processes() -> Processes:
    """Return the processes that fit together; by default this one alone."""
    return _current.get()


@contextmanager
def together() -> Iterator[Processes]:
    """Fit together with the other processes of torch's default process group.

    All of them fit the same block on the same history.
    """
    before = _current.set(Processes(distributed.get_rank(), distributed.get_world_size()))
    try:
        yield _current.get()
    finally:
        _current.reset(before)
