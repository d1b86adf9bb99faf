"""The GRU sequence autoencoder (paper, section 3.1): network and block.

An encoder reads a client's events; its last hidden state is the user vector. A decoder reconstructs
the events from that vector, each given the true events before it (teacher forcing).
"""

from collections.abc import Mapping
from dataclasses import field
from functools import reduce
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from ubp_platform.blocks.gru_inference import last_states
from ubp_platform.blocks.output_heads import OutputHeads
from ubp_platform.blocks.ragged import Batch
from ubp_platform.blocks.sequence_block import SequenceBlock
from ubp_platform.blocks.torch_runtime import threads
from ubp_platform.events.schema import EVENT_TYPES
from ubp_platform.warehouse.sequences import Vocabulary


class GRUAutoencoderNetwork(nn.Module):
    """Encoder and decoder.

    Parameters
    ----------
    sizes : mapping of str to int
        Number of tokens of each field.
    hidden, layers, dropout
        As in :class:`~ubp_platform.blocks.sequence_block.SequenceBlock`.
    """

    def __init__(self, sizes: Mapping[str, int], hidden: int, layers: int, dropout: float) -> None:
        super().__init__()
        self.embeddings = nn.ModuleDict({f: nn.Embedding(n, hidden) for f, n in sizes.items()})
        # One module per layer: a stacked nn.GRU returns the states of its lower layers only at the
        # last step, which is padding for all but the longest sequences.
        self.encoder = nn.ModuleList(nn.GRU(hidden, hidden) for _ in range(layers))
        self.decoder = nn.ModuleList(nn.GRU(hidden, hidden) for _ in range(layers))
        self.heads = OutputHeads(sizes, hidden)
        self.dropout = nn.Dropout(dropout)

    def embed(self, batch: Batch) -> Tensor:
        """Sum the embeddings of an event's fields: (steps, clients, hidden)."""
        return self.dropout(self._embed(batch.inputs))

    def _embed(self, tokens: Tensor) -> Tensor:
        # (fields, …) -> (…, hidden)
        fields = zip(self.embeddings.values(), tokens, strict=True)
        return reduce(torch.add, (embedding(values) for embedding, values in fields))

    def encode(self, events: Tensor, last: Tensor) -> Tensor:
        """Return the top layer's hidden state at each newest event: (clients, hidden)."""
        client = torch.arange(len(last), device=last.device)
        for layer, gru in enumerate(self.encoder):
            events, _ = gru(events if layer == 0 else self.dropout(events))
        return events[last, client]

    def infer(self, batch: Batch) -> Tensor:
        """Return the same as :meth:`encode`, faster on CPUs, for clients in order of length."""
        if batch.inputs.device.type != "cpu":
            return self.encode(self.embed(batch), batch.last)
        return last_states([*self.encoder], self._embed, batch.inputs, batch.last)

    def decode(self, events: Tensor, vectors: Tensor) -> Tensor:
        """Return the hidden states that predict each event from the ones before it.

        The decoder is conditioned on the vector only: it is added to each event's embedding, and is
        the initial state of each layer.

        Parameters
        ----------
        events : Tensor, shape (steps, clients, hidden)
            Embeddings, that of the start token first.
        vectors : Tensor, shape (clients, hidden)
        """
        events = events + vectors
        for layer, gru in enumerate(self.decoder):
            events, _ = gru(events if layer == 0 else self.dropout(events), vectors[None])
        return events

    @torch.inference_mode()
    def generate(self, vector: Tensor, steps: int) -> Tensor:
        """Decode a vector (hidden,) greedily, each event from the predicted ones before it.

        Returns the tokens of at most ``steps`` events, up to the first predicted end: int64, shape
        (n_fields, n_events).
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
        """Return the decoder's hidden states at the real positions: (positions, hidden)."""
        events = self.embed(batch)
        hidden = self.decode(events, self.encode(events, batch.last))
        return hidden.flatten(0, 1)[batch.real]  # of (steps * clients, hidden)

    def cross_entropy(self, hidden: Tensor, targets: Tensor) -> Tensor:  # noqa: D102
        return self.heads.cross_entropy(hidden, targets)


class GRUAutoencoder(SequenceBlock):
    """A sequence autoencoder over some fields of a client's events.

    A subclass names the fields and, by default all, the events. Its parameters are those of
    :class:`~ubp_platform.blocks.sequence_block.SequenceBlock`.
    """

    section = "3.1"
    needs: ClassVar[tuple[str, ...]] = EVENT_TYPES
    positions_per_batch = 65_536

    network_: GRUAutoencoderNetwork = field(init=False, repr=False)

    def network(self, sizes: Mapping[str, int]) -> GRUAutoencoderNetwork:  # noqa: D102
        return GRUAutoencoderNetwork(sizes, self.hidden, self.layers, self.dropout)

    def vectors(self, batch: Batch) -> Tensor:  # noqa: D102
        return self.network_.infer(batch)

    def decode(self, vector: np.ndarray, steps: int) -> dict[str, np.ndarray]:
        """Decode a vector (hidden,) into the tokens of at most ``steps`` events, oldest first.

        Returns an int32 array of shape (n_events,) for each field.
        """
        self.network_.eval()
        device = next(self.network_.parameters()).device
        with threads(self.threads):
            tokens = self.network_.generate(torch.from_numpy(vector).to(device), steps)
        return dict(zip(self.vocabularies_, tokens.cpu().numpy().astype(np.int32), strict=True))
