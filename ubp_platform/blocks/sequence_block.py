"""What blocks that are networks over token sequences share: vocabularies, fitting, encoding."""

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import field
from typing import Annotated, Any, ClassVar

import numpy as np
import torch
from pydantic import Field, PositiveFloat, PositiveInt
from torch import Tensor

from ubp_platform.blocks.base import Block, below
from ubp_platform.blocks.checkpoint import Checkpoint
from ubp_platform.blocks.parameters import Share
from ubp_platform.blocks.ragged import POSITIONS_A_BATCH, Batch, Batches
from ubp_platform.blocks.snapshot import Snapshot
from ubp_platform.blocks.trainer import Trainer
from ubp_platform.blocks.training import NetworkLearner, device, seeded, threads
from ubp_platform.progress import ProgressFactory, silent
from ubp_platform.warehouse.history import History
from ubp_platform.warehouse.sequences import Sequences, Vocabulary


class SequenceBlock(Block):
    """A network that reads a client's events of the types it ``needs``, oldest first.

    A subclass names the fields and makes the network. A client's vector does not depend on who
    else is in the batch: it is read at the client's newest event, never after padding. Matrix
    products of different size may still differ in their last bits; vectors agree to 1e-6 of
    their length.

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
        Share of the clients that validate and do not train.
    threads : int, optional
        CPU threads; all cores by default. The steps of a small network are so short that a second
        thread gains little when cores are free and costs a multiple when they are not.
    hidden : int
        Width of embeddings, of hidden states and of the user vector.
    layers : int
    dropout : float
    last : int
        How many events of a client are read, the newest ones.
    values : mapping of str to int
        How many values of a field are known, the most frequent ones; all where it is not named.
    """

    #: Keys of :data:`ubp_platform.warehouse.sequences.FIELDS` that are read.
    fields: ClassVar[tuple[str, ...]]
    #: Whether the end of a sequence is a token that is predicted.
    end: ClassVar[bool] = True
    #: Whether events are predicted of which no field has a known value.
    rare: ClassVar[bool] = True
    #: Positions, padding among them, that are encoded at once.
    positions_a_batch: ClassVar[int] = POSITIONS_A_BATCH

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
        """Make the network.

        Parameters
        ----------
        sizes : mapping of str to int
            Tokens of each field, special ones included.

        Returns
        -------
        SequenceNetwork
        """

    @abstractmethod
    def vectors(self, batch: Batch) -> Tensor:
        """Give the clients' vectors, float32, shape (clients, hidden)."""

    def vocabularies(self, history: History) -> dict[str, Vocabulary]:
        """Collect the values to know of each field; a field that no event has is left out."""
        known = {f: history.vocabulary(f, self.values.get(f), self.needs) for f in self.fields}
        return {f: vocabulary for f, vocabulary in known.items() if len(vocabulary.values)}

    def sequences(self, history: History) -> Sequences:
        """Give the clients' last events as tokens of the fitted vocabularies."""
        return history.sequences(self.vocabularies_, self.last, self.needs)

    def training_sequences(self, history: History) -> Sequences:
        """Give what is learned from: by default what is read."""
        return self.sequences(history)

    def _fit(self, history: History, progress: ProgressFactory, checkpoint: Checkpoint) -> None:
        self.vocabularies_ = self.vocabularies(history)
        batches = self._batches(self.training_sequences(history))
        if not batches.predicted.any():
            raise self.unavailable(history, "" if self.rare else "with a known value")
        with threads(self.threads), seeded(self.seed):
            self.network_ = self._network().to(batches.device)
            learner = NetworkLearner(
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
                self.name,
                learner,
                self.report_,
                max_epochs=self.max_epochs,
                patience=self.patience,
            )
            trainer.fit(progress, checkpoint)

    def encode(self, history: History, progress: ProgressFactory = silent) -> Snapshot:  # noqa: D102
        sequences = self.sequences(history)
        vectors = self.encode_sequences(sequences, progress)
        return Snapshot(history.cutoff, sequences.client_ids, vectors)

    def encode_sequences(
        self, sequences: Sequences, progress: ProgressFactory = silent
    ) -> np.ndarray:
        """Turn sequences of the fitted vocabularies into vectors.

        Returns
        -------
        ndarray of float32, shape (n_clients, hidden)
        """
        clients = np.arange(len(sequences.client_ids))
        vectors = np.empty((len(clients), self.hidden), np.float32)
        batches = self._batches(sequences)
        self.network_.eval()
        bar = progress(f"{self.name}: encode", batches.positions(clients), "tokens")
        with threads(self.threads), torch.inference_mode(), bar as advance:
            for rows, batch in batches.sorted(clients, self.positions_a_batch):
                vectors[rows] = self.vectors(batch).cpu().numpy()
                advance(batches.positions(rows))
        return vectors

    def state(self) -> dict[str, np.ndarray]:  # noqa: D102
        weights = self.network_.state_dict()
        return {
            **{f"vocabulary.{f}": v.values for f, v in self.vocabularies_.items()},
            **{f"network.{name}": tensor.cpu().numpy() for name, tensor in weights.items()},
        }

    def restore(self, arrays: dict[str, np.ndarray]) -> None:  # noqa: D102
        # In the order of `fields`: sums of floats depend on it.
        self.vocabularies_ = {
            f: Vocabulary(f, arrays[f"vocabulary.{f}"])
            for f in self.fields
            if f"vocabulary.{f}" in arrays
        }
        self.network_ = self._network()
        weights = {
            name: torch.from_numpy(array) for name, array in below(arrays, "network").items()
        }
        self.network_.load_state_dict(weights)
        self.network_.to(device())

    def _network(self) -> torch.nn.Module:
        return self.network({f: v.size for f, v in self.vocabularies_.items()})

    def _batches(self, sequences: Sequences) -> Batches:
        return Batches(sequences, self.batch_size, device(), self.end, self.rare)
