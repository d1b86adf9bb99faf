"""A transformer that predicts the next event (paper, section 3.2.3): network and block.

The architecture is GPT-2's (Radford et al. 2019, *Language Models are Unsupervised Multitask
Learners*): learned positions, layer norms before attention and MLP, GELU, a final layer norm.
Attention is causal and sequences are padded after their newest event, so no real event sees
padding, and padding needs no mask.
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
from ubp_platform.blocks.torch_runtime import LEAST_ROWS, padded
from ubp_platform.warehouse.history import History
from ubp_platform.warehouse.sequences import Sequences

#: Standard deviation of GPT-2's initial weights.
INITIAL_STD = 0.02


class CausalSelfAttention(nn.Module):
    """Causal multi-head self-attention.

    Without dropout on the attention weights, for which CPUs have no fused kernel.
    """

    def __init__(self, hidden: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query = nn.Linear(hidden, hidden)
        self.key_value = nn.Linear(hidden, 2 * hidden)
        self.project = nn.Linear(hidden, hidden)

    def forward(self, queries: Tensor, events: Tensor, mask: Tensor | None = None) -> Tensor:
        """Attend from queries to events.

        Parameters
        ----------
        queries : Tensor, shape (clients, n, hidden)
        events : Tensor, shape (clients, steps, hidden)
        mask : Tensor of bool, shape (clients, 1, 1, steps), optional
            Which events are attended to. By default attention is causal, and the queries are the
            events themselves.
        """
        key, value = self.key_value(events).chunk(2, dim=-1)
        q, k, v = (self._split_heads(x) for x in (self.query(queries), key, value))
        y = F.scaled_dot_product_attention(q, k, v, mask, is_causal=mask is None)
        # (clients, heads, n, hidden / heads) -> (clients, n, hidden)
        return self.project(y.transpose(1, 2).flatten(2))

    def _split_heads(self, x: Tensor) -> Tensor:
        # (clients, n, hidden) -> (clients, heads, n, hidden / heads)
        return x.unflatten(-1, (self.heads, -1)).transpose(1, 2)


class TransformerLayer(nn.Module):
    """Attention, then an MLP, each with a pre-norm residual connection."""

    def __init__(self, hidden: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.attention_norm = nn.LayerNorm(hidden)
        self.attention = CausalSelfAttention(hidden, heads)
        self.perceptron_norm = nn.LayerNorm(hidden)
        self.expand = nn.Linear(hidden, 4 * hidden)
        self.project = nn.Linear(4 * hidden, hidden)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        """Return the hidden states after this layer: (clients, steps, hidden)."""
        events = self.attention_norm(x)
        return self._mlp(x + self.dropout(self.attention(events, events)))

    def newest(self, x: Tensor, last: Tensor) -> Tensor:
        """Compute only the hidden state of each client's newest event: (clients, hidden)."""
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
        Number of tokens of each field.
    hidden, layers, heads, dropout, last
        As in :class:`NextEvent`.
    sparse : bool
        Whether embeddings have sparse gradients, for tables of which a batch uses few rows.
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
        self.positions = nn.Embedding(last + 1, hidden)  # the start token has one too
        self.layers = nn.ModuleList(TransformerLayer(hidden, heads, dropout) for _ in range(layers))
        self.norm = nn.LayerNorm(hidden)
        self.dropout = nn.Dropout(dropout)

    def initialize(self) -> None:
        """Draw the weights as GPT-2 does; a subclass calls it after making all its modules."""
        for name, module in self.named_modules():
            if isinstance(module, nn.Linear | nn.Embedding):
                # So that the spread of the residual stream does not grow with the layers.
                residual = name.endswith("project")
                scale = 1 / math.sqrt(2 * len(self.layers)) if residual else 1.0
                nn.init.normal_(module.weight, std=INITIAL_STD * scale)
            if isinstance(module, nn.Linear):
                nn.init.zeros_(module.bias)

    def embed(self, inputs: Tensor) -> Tensor:
        """Sum the embeddings of an event's fields and of its position: (clients, steps, hidden)."""
        # inputs: (n_fields, steps, clients)
        fields = zip(self.embeddings.values(), inputs.transpose(1, 2), strict=True)
        events = sum(embedding(tokens) for embedding, tokens in fields)
        return self.dropout(events + self.positions.weight[: inputs.shape[1]])

    def forward(self, batch: Batch) -> Tensor:
        """Return the hidden states at the real positions of a batch: (positions, hidden)."""
        # Without the last step, the newest event of the longest sequence: it predicts nothing.
        x = self.embed(batch.inputs[:, :-1])
        for layer in self.layers:
            x = layer(x)
        # (clients, steps, hidden) -> (steps * clients, hidden), as `real` counts
        return self.norm(x.transpose(0, 1).flatten(0, 1)[batch.real])

    def newest(self, batch: Batch) -> Tensor:
        """Return the hidden state at each client's newest event: (clients, hidden)."""
        x = self.embed(batch.inputs[:, : len(self.positions.weight)])  # beyond it is padding only
        clients, steps, _ = x.shape
        # To whole vectors, so that sums over steps do not depend on the longest sequence.
        x = padded(nn.functional.pad(x, (0, 0, 0, -steps % LEAST_ROWS)))
        top: Any = self.layers[-1]
        for layer in self.layers[:-1]:
            x = layer(x)
        newest: Tensor = self.norm(top.newest(x, padded(batch.last)))
        return newest[:clients]

    @abstractmethod
    def cross_entropy(self, hidden: Tensor, targets: Tensor) -> Tensor:
        """Sum the loss over fields and positions; see ``sequence_learner.SequenceNetwork``."""


class NextEvent(SequenceBlock):
    """A transformer that predicts the next event; the last hidden state is the vector.

    A history is censored by the cutoff, not ended by the client, so no end is predicted.

    Parameters
    ----------
    heads : int
        Attention heads per layer, which share its width.
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
        """Return the arguments of :class:`Transformer` that are parameters of the block."""
        names = ("hidden", "layers", "heads", "dropout", "last")
        return {name: getattr(self, name) for name in names}

    def vectors(self, batch: Batch) -> Tensor:  # noqa: D102
        return self.network_.newest(batch)

    def training_sequences(self, history: History) -> Sequences:
        """Return one event more than is encoded, so that every position has a next event."""
        return history.sequences(self.vocabularies_, self.last + 1, self.needs)
