"""Batches of ragged sequences: gathered from flat arrays, of nearly equal length."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ubp_platform.warehouse.sequences import Sequences, Vocabulary

#: Relative noise on lengths when training batches are formed: mixes clients of similar length.
JITTER = 0.05
#: Positions per batch in evaluation; enough for efficient matrix products.
POSITIONS_PER_BATCH = 8192
#: On a GPU evaluation batches have a multiple of so many steps.
STEPS = 16


@dataclass(frozen=True)
class Batch:
    """A padded batch of clients' sequences.

    A client's events ``e1 … en`` become the inputs ``start, e1 … en`` and the targets
    ``e1 … en, end``. Positions without a prediction, such as the newest event if the end is not
    predicted, are not *real*. Shorter sequences are padded after their newest event.

    Parameters
    ----------
    inputs : Tensor of int64, shape (n_fields, steps, clients)
    last : Tensor of int64, shape (clients,)
        The step of each client's newest event.
    real : Tensor of int64, shape (n_positions,)
        Indices of the real positions among the ``steps * clients`` positions.
    targets : Tensor of int64, shape (n_fields, n_positions)
        The tokens to predict at the real positions.
    """

    inputs: Tensor
    last: Tensor
    real: Tensor
    targets: Tensor

    @property
    def positions(self) -> int:
        """The number of real positions."""
        return len(self.real)


class Batches:
    """Gathers batches of sequences of similar length from flat arrays, with little padding.

    Parameters
    ----------
    sequences : Sequences
    batch_size : int
        Clients per batch.
    device : torch.device
        Device of the batches.
    end : bool
        Whether the end of a sequence is predicted.
    rare : bool
        Whether events without any known value are predicted.

    Attributes
    ----------
    predicted : ndarray of int64, shape (n_clients,)
        The number of real positions of each client.
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
        """Count the real positions of some clients, a measure of training time."""
        return int(self.predicted[clients].sum())

    def shuffled(self, clients: np.ndarray, rng: np.random.Generator) -> Iterator[Batch]:
        """Yield training batches of sequences of similar length, in random order."""
        return map(self.gather, self.shuffled_clients(clients, rng))

    def shuffled_clients(
        self, clients: np.ndarray, rng: np.random.Generator
    ) -> Iterator[np.ndarray]:
        """Yield the clients of each training batch; see :meth:`shuffled`."""
        jitter = rng.uniform(1 - JITTER, 1 + JITTER, len(clients))
        ordered = clients[np.argsort((self.lengths[clients] + 1) * jitter)]
        size = self.batch_size
        batches = [ordered[start : start + size] for start in range(0, len(ordered), size)]
        for index in rng.permutation(len(batches)):
            yield batches[index]

    def sorted(
        self, clients: np.ndarray, positions: int = POSITIONS_PER_BATCH
    ) -> Iterator[tuple[np.ndarray, Batch]]:
        """Yield evaluation batches and the indices of their clients, shortest sequences first.

        A batch has as many clients as fit into ``positions``, independent of the batch size.
        """
        ordered = clients[np.argsort(self.lengths[clients], kind="stable")]
        steps = self.lengths[ordered] + 1
        start = 0
        while start < len(ordered):
            # The last client of a batch has the longest sequence, to which the others are padded.
            window = steps[start : start + positions // steps[start] + 1]
            padded = window * np.arange(1, len(window) + 1)
            count = max(1, int(np.searchsorted(padded, positions, side="right")))
            rows = ordered[start : start + count]
            yield rows, self.gather(rows)
            start += count

    def shaped(
        self, clients: np.ndarray, positions: int = POSITIONS_PER_BATCH
    ) -> Iterator[tuple[np.ndarray, Batch]]:
        """Yield evaluation batches of shapes that follow from each client's own length.

        A GPU multiplies in a way that depends on the shapes, and each rounds differently. Here the
        number of steps is a multiple of :data:`STEPS`, and so many clients fill the ``positions``;
        where there are fewer, the last one is repeated. So a client's vector does not depend on
        who else is encoded.
        """
        steps = (self.lengths[clients] // STEPS + 1) * STEPS  # with the start token
        for width in np.unique(steps).tolist():
            alike, count = clients[steps == width], max(1, positions // width)
            for start in range(0, len(alike), count):
                rows = alike[start : start + count]
                yield rows, self.gather(np.pad(rows, (0, count - len(rows)), mode="edge"), width)

    def gather(self, clients: np.ndarray, steps: int | None = None) -> Batch:
        """Make a batch of some clients' sequences; by default of as many steps as they need."""
        lengths = self.lengths[clients]
        step = np.arange(steps or lengths.max() + 1)[:, None]  # (steps, 1)
        event = self.starts[clients] + step  # (steps, clients): indices into the flat arrays
        event = np.minimum(event, self.tokens.shape[1] - 1)  # padding may point anywhere
        tokens = self.tokens[:, event]  # (fields, steps, clients)
        previous = np.roll(tokens, 1, axis=1)
        previous[:, 0] = Vocabulary.START
        inputs = np.where(step <= lengths, previous, Vocabulary.PAD)
        targets = np.where(step < lengths, tokens, Vocabulary.END)
        predictable = self._predictable[event]
        real = np.flatnonzero((step < lengths) & predictable | (step == lengths) & self.end)
        targets = targets.reshape(len(targets), -1)[:, real]  # (fields, real positions)
        arrays = (inputs, lengths, real, targets)
        return Batch(*(torch.from_numpy(array).to(self.device).long() for array in arrays))
