"""A transformer that predicts the next event (paper, section 3.2.3): network and block.

The architecture is GPT-2's (Radford et al. 2019, *Language Models are Unsupervised Multitask
Learners*): learned positions, layer norms before attention and perceptron, GELU, a last layer norm.
Attention only looks back and sequences are padded after their newest event, so that no real event
ever sees padding and nothing has to be masked.
"""

import math
from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import field
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from pydantic import PositiveInt
from torch import Tensor, nn

from ubp_platform.blocks.ragged import Batch
from ubp_platform.blocks.sequence_block import SequenceBlock
from ubp_platform.warehouse.history import History
from ubp_platform.warehouse.sequences import Sequences

#: Standard deviation of GPT-2's initial weights.
INITIAL = 0.02


class Attention(nn.Module):
    """Causal self-attention with several heads.

    No dropout on the attention weights: with it there is no fused kernel on CPUs.
    """

    def __init__(self, hidden: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query = nn.Linear(hidden, hidden)
        self.key_value = nn.Linear(hidden, 2 * hidden)
        self.project = nn.Linear(hidden, hidden)

    def forward(self, queries: Tensor, events: Tensor, mask: Tensor | None = None) -> Tensor:
        """Let states attend to events.

        Parameters
        ----------
        queries : Tensor, shape (clients, n, hidden)
        events : Tensor, shape (clients, steps, hidden)
        mask : Tensor of bool, shape (clients, 1, 1, steps), optional
            Which events are attended to; by default the queries are the events, and each attends
            to itself and the ones before.
        """
        key, value = self.key_value(events).chunk(2, dim=-1)
        query, key, value = (self._split(part) for part in (self.query(queries), key, value))
        attended = F.scaled_dot_product_attention(query, key, value, mask, is_causal=mask is None)
        return self.project(attended.transpose(1, 2).flatten(2))  # (clients, n, hidden)

    def _split(self, x: Tensor) -> Tensor:
        # (clients, n, hidden) -> (clients, heads, n, hidden / heads)
        return x.unflatten(-1, (self.heads, -1)).transpose(1, 2)


class Layer(nn.Module):
    """Attention, then a perceptron, each added to what was there (pre-norm residuals)."""

    def __init__(self, hidden: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.attention_norm = nn.LayerNorm(hidden)
        self.attention = Attention(hidden, heads)
        self.perceptron_norm = nn.LayerNorm(hidden)
        self.expand = nn.Linear(hidden, 4 * hidden)
        self.project = nn.Linear(4 * hidden, hidden)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        """Give the states after this layer: (clients, steps, hidden)."""
        events = self.attention_norm(x)
        return self._mlp(x + self.dropout(self.attention(events, events)))

    def newest(self, x: Tensor, last: Tensor) -> Tensor:
        """Give the state of each client's newest event alone: (clients, hidden)."""
        client = torch.arange(len(last), device=last.device)[:, None]
        events, last = self.attention_norm(x), last[:, None]
        mask = torch.arange(x.shape[1], device=last.device) <= last  # (clients, steps)
        attended = self.attention(events[client, last], events, mask[:, None, None])
        return self._mlp(x[client, last] + attended).squeeze(1)

    def _mlp(self, x: Tensor) -> Tensor:
        expanded = F.gelu(self.expand(self.perceptron_norm(x)), approximate="tanh")
        return x + self.dropout(self.project(expanded))


class Transformer(nn.Module):
    """A GPT-2 over events; a subclass adds the heads that predict the next one.

    Parameters
    ----------
    sizes : mapping of str to int
        Tokens of each field.
    hidden, layers, heads, dropout, last
        As in :class:`NextEvent`.
    sparse : bool
        Whether the embeddings' gradients are sparse: for tables of which a batch uses few rows.
    """

    def __init__(
        self,
        sizes: Mapping[str, int],
        *,
        hidden: int,
        layers: int,
        heads: int,
        dropout: float,
        last: int,
        sparse: bool = False,
    ) -> None:
        super().__init__()
        self.embeddings = nn.ModuleDict(
            {f: nn.Embedding(n, hidden, sparse=sparse) for f, n in sizes.items()}
        )
        self.positions = nn.Embedding(last + 1, hidden)  # the start has one too
        self.layers = nn.ModuleList(Layer(hidden, heads, dropout) for _ in range(layers))
        self.norm = nn.LayerNorm(hidden)
        self.dropout = nn.Dropout(dropout)

    def initialize(self) -> None:
        """Draw the weights as GPT-2 does; a subclass calls it when all its modules are there."""
        for name, module in self.named_modules():
            if isinstance(module, nn.Linear | nn.Embedding):
                # So that the sum of all residuals has the same spread whatever their number.
                residual = name.endswith("project")
                scale = 1 / math.sqrt(2 * len(self.layers)) if residual else 1.0
                nn.init.normal_(module.weight, std=INITIAL * scale)
            if isinstance(module, nn.Linear):
                nn.init.zeros_(module.bias)

    def embed(self, inputs: Tensor) -> Tensor:
        """Sum the embeddings of an event's fields and of its position.

        Parameters
        ----------
        inputs : Tensor of int64, shape (n_fields, steps, clients)

        Returns
        -------
        Tensor of float, shape (clients, steps, hidden)
        """
        fields = zip(self.embeddings.values(), inputs.transpose(1, 2), strict=True)
        events = sum(embedding(tokens) for embedding, tokens in fields)
        return self.dropout(events + self.positions.weight[: inputs.shape[1]])

    def forward(self, batch: Batch) -> Tensor:
        """Read a batch; gives the state at each real position: (positions, hidden)."""
        # At the newest event nothing is predicted: the last step is that of the longest only.
        x = self.embed(batch.inputs[:, :-1])
        for layer in self.layers:
            x = layer(x)
        return self.norm(x.transpose(0, 1).flatten(0, 1)[batch.real])

    def newest(self, batch: Batch) -> Tensor:
        """Give the state at each client's newest event: (clients, hidden)."""
        x = self.embed(batch.inputs)
        top: Any = self.layers[-1]
        for layer in self.layers[:-1]:
            x = layer(x)
        return self.norm(top.newest(x, batch.last))

    @abstractmethod
    def cross_entropy(self, hidden: Tensor, targets: Tensor) -> Tensor:
        """Sum the loss over fields and positions; see ``training.SequenceNetwork``."""


class NextEvent(SequenceBlock):
    """A transformer that predicts the next event; its state at the newest one is the vector.

    A history is cut off by the cutoff, not ended by the client: no end has to be predicted.

    Parameters
    ----------
    heads : int
        Attention heads of a layer; they share its width.
    **others
        As in :class:`~ubp_platform.blocks.sequence_block.SequenceBlock`.
    """

    section = "3.2.3"
    end: ClassVar[bool] = False

    heads: PositiveInt = 4

    network_: Transformer = field(init=False, repr=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.hidden % self.heads:
            raise ValueError(f"hidden ({self.hidden}) is not a multiple of heads ({self.heads})")

    def shape(self) -> dict[str, Any]:
        """Give the arguments of :class:`Transformer` that are parameters of the block."""
        names = ("hidden", "layers", "heads", "dropout", "last")
        return {name: getattr(self, name) for name in names}

    def vectors(self, batch: Batch) -> Tensor:  # noqa: D102
        return self.network_.newest(batch)

    def training_sequences(self, history: History) -> Sequences:
        """Give one event more than is read, so that there is a next one at every position."""
        return history.sequences(self.vocabularies_, self.last + 1, self.needs)
