"""Batches of ragged sequences: gathered from flat arrays, of nearly equal length."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ubp_platform.warehouse.sequences import Sequences, Vocabulary

#: How far a length may stray when training batches are formed; mixes clients of similar length.
JITTER = 0.05
#: Positions of a batch that is only read, not learned from; large enough for matrix products.
POSITIONS_A_BATCH = 8192


@dataclass(frozen=True)
class Batch:
    """Some clients' sequences, side by side.

    Of a client with the events ``e1 … en`` the inputs are ``start, e1 … en`` and the targets
    ``e1 … en, end``. Where nothing is predicted, as at the newest event if there is no end, the
    position is not a real one. Shorter sequences are padded after their newest event.

    Parameters
    ----------
    inputs : Tensor of int64, shape (n_fields, steps, clients)
    last : Tensor of int64, shape (clients,)
        The step of each client's newest event.
    real : Tensor of int64, shape (n_positions,)
        At which of the ``steps * clients`` positions something is predicted.
    targets : Tensor of int64, shape (n_fields, n_positions)
        What is to be predicted at the real positions.
    """

    inputs: Tensor
    last: Tensor
    real: Tensor
    targets: Tensor

    @property
    def positions(self) -> int:
        """How many real positions there are."""
        return len(self.real)


class Batches:
    """Cuts sequences into batches; no Python object an event, no padding to the longest of all.

    Parameters
    ----------
    sequences : Sequences
    batch_size : int
        Clients in a batch.
    device : torch.device
        Where the batches are wanted.
    end : bool
        Whether the end of a sequence is predicted.
    rare : bool
        Whether events are predicted of which no field has a known value.

    Attributes
    ----------
    predicted : ndarray of int64, shape (n_clients,)
        How many positions of each client are real.
    """

    def __init__(
        self,
        sequences: Sequences,
        batch_size: int,
        device: torch.device,
        end: bool = True,
        rare: bool = True,
    ) -> None:
        self.end = end
        self.tokens = np.stack([*sequences.fields.values()])  # (fields, events)
        self.starts, self.lengths = sequences.offsets[:-1], sequences.lengths
        self.batch_size, self.device = batch_size, device
        self._predictable: np.ndarray = np.asarray(
            rare | (self.tokens >= Vocabulary.FIRST).any(axis=0)
        )
        self.predicted = np.diff(np.append(0, self._predictable.cumsum())[sequences.offsets]) + end

    def positions(self, clients: np.ndarray) -> int:
        """Count the real positions of some clients, which is what training time is spent on."""
        return int(self.predicted[clients].sum())

    def shuffled(self, clients: np.ndarray, rng: np.random.Generator) -> Iterator[Batch]:
        """Give each client once, with others of nearly its length, in random order.

        Parameters
        ----------
        clients : ndarray of int64, shape (n,)
            Rows of the sequences.
        rng : numpy.random.Generator
        """
        jitter = rng.uniform(1 - JITTER, 1 + JITTER, len(clients))
        near = clients[np.argsort((self.lengths[clients] + 1) * jitter)]
        parts = [near[i : i + self.batch_size] for i in range(0, len(near), self.batch_size)]
        for part in rng.permutation(len(parts)):
            yield self.gather(parts[part])

    def sorted(
        self, clients: np.ndarray, positions: int = POSITIONS_A_BATCH
    ) -> Iterator[tuple[np.ndarray, Batch]]:
        """Give each client once, shortest first, with the rows that a batch holds.

        A batch holds as many clients as fill so many positions, whatever the batch size.
        """
        near = clients[np.argsort(self.lengths[clients], kind="stable")]
        steps = self.lengths[near] + 1
        start = 0
        while start < len(near):
            # Sorted, so that a part's last client is its longest.
            window = steps[start : start + positions // steps[start] + 1]
            padded = window * np.arange(1, len(window) + 1)
            count = max(1, int(np.searchsorted(padded, positions, side="right")))
            part = near[start : start + count]
            yield part, self.gather(part)
            start += count

    def gather(self, clients: np.ndarray) -> Batch:
        """Put some clients' sequences side by side."""
        lengths = self.lengths[clients]
        step = np.arange(lengths.max() + 1)[:, None]  # (steps, 1)
        event = self.starts[clients] + step  # (steps, clients): where event number `step` lies
        event = np.minimum(event, self.tokens.shape[1] - 1)  # of padding, anything
        here = self.tokens[:, event]  # (fields, steps, clients)
        before = np.roll(here, 1, axis=1)
        before[:, 0] = Vocabulary.START
        inputs = np.where(step <= lengths, before, Vocabulary.PAD)
        targets = np.where(step < lengths, here, Vocabulary.END)
        predictable = self._predictable[event]
        real = np.flatnonzero((step < lengths) & predictable | (step == lengths) & self.end)
        targets = targets.reshape(len(targets), -1)[:, real]
        arrays = (inputs, lengths, real, targets)
        return Batch(*(torch.from_numpy(array).to(self.device).long() for array in arrays))
