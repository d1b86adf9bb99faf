"""The base of blocks that are networks over token sequences."""

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import field
from typing import Annotated, Any, ClassVar

import numpy as np
import torch
from pydantic import Field, PositiveFloat, PositiveInt
from torch import Tensor

from ubp_platform.blocks.base import Block
from ubp_platform.blocks.checkpoint import Checkpoint
from ubp_platform.blocks.parameters import Share
from ubp_platform.blocks.ragged import POSITIONS_PER_BATCH, Batch, Batches
from ubp_platform.blocks.sequence_learner import SequenceLearner
from ubp_platform.blocks.snapshot import Snapshot
from ubp_platform.blocks.state_arrays import Arrays, strip_prefix, with_prefix
from ubp_platform.blocks.torch_runtime import (
    device,
    load_weight_arrays,
    seeded,
    threads,
    weight_arrays,
)
from ubp_platform.blocks.trainer import Trainer
from ubp_platform.progress import ProgressFactory, logged
from ubp_platform.warehouse.history import History
from ubp_platform.warehouse.sequences import Sequences, Vocabulary


class SequenceBlock(Block):
    """A network that reads a client's events of the types it ``needs``, oldest first.

    A subclass names the fields and makes the network. A client's vector does not depend on the
    rest of the batch: it is the hidden state at the client's newest event, which precedes padding.
    Matrix products of different sizes may still differ in the last bits: vectors agree to 1e-6 of
    their length.

    Parameters
    ----------
    batch_size : int
        Clients per batch.
    learning_rate : float
        Peak learning rate of Adam, with one cycle over ``max_epochs``.
    table_learning_rate : float, optional
        Peak learning rate of sparse embedding tables, of which a step updates only the rows in use;
        ``learning_rate`` by default.
    max_epochs : int
    patience : int
        Epochs without a better validation loss after which training ends.
    held_out : float
        Share of the clients that are held out for validation.
    threads : int, optional
        CPU threads; all cores by default. The steps of a small network are so short that a second
        thread gains little when cores are free, and slows training down when they are busy.
    hidden : int
        Width of embeddings, hidden states and the user vector.
    layers : int
    dropout : float
    last : int
        Number of events that are read, the newest ones of a client.
    values : mapping of str to int
        Vocabulary sizes by field, the most frequent values; by default a field keeps all values.
    """

    shared_fit = True
    #: Keys of :data:`ubp_platform.warehouse.sequences.FIELDS` that are read.
    fields: ClassVar[tuple[str, ...]]
    #: Whether the end of a sequence is a token that is predicted.
    end: ClassVar[bool] = True
    #: Whether events without any known value are predicted.
    rare: ClassVar[bool] = True
    #: Positions, including padding, that are encoded at once.
    positions_per_batch: ClassVar[int] = POSITIONS_PER_BATCH

    batch_size: PositiveInt = 256
    learning_rate: PositiveFloat = 1e-3
    table_learning_rate: PositiveFloat | None = None
    max_epochs: PositiveInt = 10
    patience: PositiveInt = 3
    held_out: Share = 0.1
    threads: PositiveInt | None = None
    hidden: PositiveInt = 512
    layers: PositiveInt = 3
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.1
    last: PositiveInt = 128
    values: Mapping[str, int] = field(default_factory=lambda: {"sku": 5000, "url": 5000})

    vocabularies_: dict[str, Vocabulary] = field(init=False, repr=False)
    network_: Any = field(init=False, repr=False)

    @abstractmethod
    def network(self, sizes: Mapping[str, int]) -> torch.nn.Module:
        """Make the network, a :class:`~ubp_platform.blocks.sequence_learner.SequenceNetwork`.

        Parameters
        ----------
        sizes : mapping of str to int
            Number of tokens of each field, special ones included.
        """

    @abstractmethod
    def vectors(self, batch: Batch) -> Tensor:
        """Return the clients' vectors, float32, shape (clients, hidden)."""

    def vocabularies(self, history: History) -> dict[str, Vocabulary]:
        """Return the vocabulary of each field; a field without values is left out."""
        fields = {f: history.vocabulary(f, self.values.get(f), self.needs) for f in self.fields}
        return {f: vocabulary for f, vocabulary in fields.items() if len(vocabulary.values)}

    def sequences(self, history: History) -> Sequences:
        """Return the clients' last events as tokens of the fitted vocabularies."""
        return history.sequences(self.vocabularies_, self.last, self.needs)

    def training_sequences(self, history: History) -> Sequences:
        """Return the sequences to train on; by default those that are encoded."""
        return self.sequences(history)

    def _fit(self, history: History, progress: ProgressFactory, checkpoint: Checkpoint) -> None:
        self.vocabularies_ = self.vocabularies(history)
        batches = self._batches(self.training_sequences(history))
        if not batches.predicted.any():
            raise self.unavailable(history, "" if self.rare else "with a known value")
        with threads(self.threads), seeded(self.seed):
            self.network_ = self._network().to(batches.device)
            learner = SequenceLearner(
                self.network_,
                batches,
                max_epochs=self.max_epochs,
                seed=self.seed,
                held_out=self.held_out,
                learning_rate=self.learning_rate,
                table_learning_rate=self.table_learning_rate,
            )
            self.report_.clients = learner.clients
            trainer = Trainer(
                self.name, learner, self.report_, max_epochs=self.max_epochs, patience=self.patience
            )
            trainer.fit(progress, checkpoint)

    def encode(self, history: History, progress: ProgressFactory = logged) -> Snapshot:  # noqa: D102
        sequences = self.sequences(history)
        vectors = self.encode_sequences(sequences, progress)
        return Snapshot(history.cutoff, sequences.client_ids, vectors)

    def encode_sequences(
        self, sequences: Sequences, progress: ProgressFactory = logged
    ) -> np.ndarray:
        """Encode sequences of the fitted vocabularies: float32, shape (n_clients, hidden)."""
        clients = np.arange(len(sequences.client_ids))
        vectors = np.empty((len(clients), self.hidden), np.float32)
        batches = self._batches(sequences)
        self.network_.eval()
        in_batches = batches.sorted if batches.device.type == "cpu" else batches.shaped
        bar = progress(f"{self.name}: encode", batches.positions(clients), "tokens")
        with threads(self.threads), torch.inference_mode(), bar as advance:
            for rows, batch in in_batches(clients, self.positions_per_batch):
                vectors[rows] = self.vectors(batch)[: len(rows)].cpu().numpy()
                advance(batches.positions(rows))
        return vectors

    def state(self) -> Arrays:  # noqa: D102
        vocabularies = {f: vocabulary.values for f, vocabulary in self.vocabularies_.items()}
        return {
            **with_prefix("vocabulary", vocabularies),
            **with_prefix("network", weight_arrays(self.network_)),
        }

    def restore(self, arrays: Arrays) -> None:  # noqa: D102
        values = strip_prefix(arrays, "vocabulary")
        # In the order of `fields`, on which float sums depend.
        self.vocabularies_ = {f: Vocabulary(f, values[f]) for f in self.fields if f in values}
        self.network_ = self._network()
        load_weight_arrays(self.network_, strip_prefix(arrays, "network"))
        self.network_.to(device())

    def _network(self) -> torch.nn.Module:
        return self.network({f: v.size for f, v in self.vocabularies_.items()})

    def _batches(self, sequences: Sequences) -> Batches:
        return Batches(sequences, self.batch_size, device(), self.end, self.rare)
