"""The GRU sequence autoencoder (paper, section 3.1): network and block.

An encoder reads a client's events; its last hidden state is the user vector. A decoder reconstructs
the events from that vector, each next one given the ones before (teacher forcing). What the vector
must hold for that is what is worth knowing about the client.
"""

from collections.abc import Mapping
from dataclasses import field
from functools import reduce
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from ubp_platform.blocks.gru_inference import last_states
from ubp_platform.blocks.heads import Heads
from ubp_platform.blocks.ragged import Batch
from ubp_platform.blocks.sequence_block import SequenceBlock
from ubp_platform.blocks.training import threads
from ubp_platform.events.schema import EVENT_TYPES
from ubp_platform.warehouse.sequences import Vocabulary


class Network(nn.Module):
    """Encoder and decoder.

    Parameters
    ----------
    sizes : mapping of str to int
        Tokens of each field.
    hidden, layers, dropout
        As in :class:`~ubp_platform.blocks.sequence_block.SequenceBlock`.
    """

    def __init__(self, sizes: Mapping[str, int], hidden: int, layers: int, dropout: float) -> None:
        super().__init__()
        self.embeddings = nn.ModuleDict({f: nn.Embedding(n, hidden) for f, n in sizes.items()})
        # One module a layer: a stacked nn.GRU gives the states of its lower layers at the last
        # step only, which is padding for all but the longest sequences.
        self.encoder = nn.ModuleList(nn.GRU(hidden, hidden) for _ in range(layers))
        self.decoder = nn.ModuleList(nn.GRU(hidden, hidden) for _ in range(layers))
        self.heads = Heads(sizes, hidden)
        self.dropout = nn.Dropout(dropout)

    def embed(self, batch: Batch) -> Tensor:
        """Sum the embeddings of an event's fields: (steps, clients, hidden)."""
        return self.dropout(self._sum(batch.inputs))

    def _sum(self, tokens: Tensor) -> Tensor:
        fields = zip(self.embeddings.values(), tokens, strict=True)
        return reduce(torch.add, (embedding(values) for embedding, values in fields))

    def encode(self, events: Tensor, last: Tensor) -> Tensor:
        """Read the events; the top layer's state at the newest is the vector: (clients, hidden)."""
        client = torch.arange(len(last), device=last.device)
        for layer, gru in enumerate(self.encoder):
            events, _ = gru(events if layer == 0 else self.dropout(events))
        return events[last, client]

    def read(self, batch: Batch) -> Tensor:
        """Give what :meth:`encode` gives when nothing is learned, in the quickest way.

        Parameters
        ----------
        batch : Batch
            Its clients in the order of their lengths.

        Returns
        -------
        Tensor of float32, shape (clients, hidden)
        """
        if batch.inputs.device.type != "cpu":
            return self.encode(self.embed(batch), batch.last)
        return last_states([*self.encoder], self._sum, batch.inputs, batch.last)

    def decode(self, events: Tensor, vectors: Tensor) -> Tensor:
        """Give the hidden states that predict each event from the ones before it.

        All that the decoder learns of the client is the vector: it is added to each event, and
        each layer starts from it.

        Parameters
        ----------
        events : Tensor, shape (steps, clients, hidden)
            Embedded, with the start first.
        vectors : Tensor, shape (clients, hidden)

        Returns
        -------
        Tensor, shape (steps, clients, hidden)
        """
        events = events + vectors
        for layer, gru in enumerate(self.decoder):
            events, _ = gru(events if layer == 0 else self.dropout(events), vectors[None])
        return events

    @torch.inference_mode()
    def generate(self, vector: Tensor, steps: int) -> Tensor:
        """Decode one vector greedily: each event is predicted from the predicted ones before it.

        Parameters
        ----------
        vector : Tensor of float32, shape (hidden,)
        steps : int
            How many events at most.

        Returns
        -------
        Tensor of int64, shape (n_fields, n_events)
            Tokens; ends where a field predicts the end.
        """
        states = [vector[None, None]] * len(self.decoder)
        event = torch.full((len(self.heads),), Vocabulary.START, device=vector.device)
        events: list[Tensor] = []
        while len(events) < steps:
            tables = zip(self.embeddings.values(), event, strict=True)
            hidden = (sum(table(token) for table, token in tables) + vector)[None, None]
            for layer, gru in enumerate(self.decoder):
                hidden, states[layer] = gru(hidden, states[layer])
            event = torch.stack([head(hidden[0, 0]).argmax() for head in self.heads.values()])
            if (event == Vocabulary.END).any():
                break
            events.append(event)
        return torch.stack(events, dim=1) if events else event.new_empty((len(event), 0))

    def forward(self, batch: Batch) -> Tensor:
        """Reconstruct a batch; gives the hidden states at real positions: (positions, hidden)."""
        events = self.embed(batch)
        hidden = self.decode(events, self.encode(events, batch.last))
        return hidden.flatten(0, 1)[batch.real]

    def cross_entropy(self, hidden: Tensor, targets: Tensor) -> Tensor:
        """Sum the loss over fields and positions, as :class:`Heads` do."""
        return self.heads.cross_entropy(hidden, targets)


class GRUAutoencoder(SequenceBlock):
    """A sequence autoencoder over some fields of a client's events.

    A subclass names the fields and, where they are not all, the events. Its parameters are those
    of :class:`~ubp_platform.blocks.sequence_block.SequenceBlock`.
    """

    section = "3.1"
    needs: ClassVar[tuple[str, ...]] = EVENT_TYPES
    positions_a_batch = 65_536

    network_: Network = field(init=False, repr=False)

    def network(self, sizes: Mapping[str, int]) -> Network:  # noqa: D102
        return Network(sizes, self.hidden, self.layers, self.dropout)

    def vectors(self, batch: Batch) -> Tensor:  # noqa: D102
        return self.network_.read(batch)

    def decode(self, vector: np.ndarray, steps: int) -> dict[str, np.ndarray]:
        """Decode a vector back into events.

        Parameters
        ----------
        vector : ndarray of float32, shape (hidden,)
        steps : int
            How many events at most.

        Returns
        -------
        dict of str to ndarray of int32, shape (n_events,)
            Tokens of each field, oldest event first.
        """
        self.network_.eval()
        device = next(self.network_.parameters()).device
        with threads(self.threads):
            tokens = self.network_.generate(torch.from_numpy(vector).to(device), steps)
        return dict(zip(self.vocabularies_, tokens.cpu().numpy().astype(np.int32), strict=True))
