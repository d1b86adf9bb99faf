"""A transformer that predicts the next event (paper, section 3.2.3): network and block.

The architecture is GPT-2's (Radford et al. 2019, *Language Models are Unsupervised Multitask
Learners*): learned positions, layer norms before attention and perceptron, GELU, a last layer norm.
Attention only looks back and sequences are padded after their newest event, so that no real event
ever sees padding and nothing has to be masked.
"""

import math
from abc import abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar, Self

import torch
import torch.nn.functional as F
from pydantic import Field, model_validator
from torch import Tensor, nn

from ubp_platform.blocks.ragged import Batch
from ubp_platform.blocks.sequence_block import SequenceBlock, SequenceParams
from ubp_platform.warehouse.history import History, Sequences

#: Standard deviation of GPT-2's initial weights.
INITIAL = 0.02


class TransformerParams(SequenceParams):
    """Parameters of a transformer.

    Parameters
    ----------
    heads : int
        Attention heads of a layer; they share its width.
    """

    heads: int = Field(4, ge=1)

    @model_validator(mode="after")
    def _heads_share_the_width(self) -> Self:
        if self.hidden % self.heads:
            raise ValueError(f"hidden ({self.hidden}) is not a multiple of heads ({self.heads})")
        return self


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

    def forward(self, asking: Tensor, events: Tensor, seen: Tensor | None = None) -> Tensor:
        """Let states attend to events.

        Parameters
        ----------
        asking : Tensor, shape (clients, n, hidden)
        events : Tensor, shape (clients, steps, hidden)
        seen : Tensor of bool, shape (clients, 1, 1, steps), optional
            Which events are attended to; by default those who ask are the events, and each sees
            itself and the ones before.
        """
        key, value = self.key_value(events).chunk(2, dim=-1)
        query, key, value = (self._split(part) for part in (self.query(asking), key, value))
        found = F.scaled_dot_product_attention(query, key, value, seen, is_causal=seen is None)
        return self.project(found.transpose(1, 2).flatten(2))  # (clients, n, hidden)

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
        return self._perceive(x + self.dropout(self.attention(events, events)))

    def newest(self, x: Tensor, last: Tensor) -> Tensor:
        """Give the state of each client's newest event alone: (clients, hidden)."""
        client = torch.arange(len(last), device=last.device)[:, None]
        events, last = self.attention_norm(x), last[:, None]
        seen = torch.arange(x.shape[1], device=last.device) <= last  # (clients, steps)
        found = self.attention(events[client, last], events, seen[:, None, None])
        return self._perceive(x[client, last] + found).squeeze(1)

    def _perceive(self, x: Tensor) -> Tensor:
        expanded = F.gelu(self.expand(self.perceptron_norm(x)), approximate="tanh")
        return x + self.dropout(self.project(expanded))


class Transformer(nn.Module):
    """A GPT-2 over events; a subclass adds what is said of the next one.

    Parameters
    ----------
    sizes : mapping of str to int
        Tokens of each field.
    params : TransformerParams
    sparse : bool
        Whether the embeddings' gradients are sparse: for tables of which a batch uses few rows.
    """

    #: Whether compiling pays on a GPU.
    compiled = True

    def __init__(
        self, sizes: Mapping[str, int], params: TransformerParams, sparse: bool = False
    ) -> None:
        super().__init__()
        hidden = params.hidden
        self.embeddings = nn.ModuleDict(
            {f: nn.Embedding(n, hidden, sparse=sparse) for f, n in sizes.items()}
        )
        self.positions = nn.Embedding(params.last + 1, hidden)  # the start has one too
        self.layers = nn.ModuleList(
            Layer(hidden, params.heads, params.dropout) for _ in range(params.layers)
        )
        self.norm = nn.LayerNorm(hidden)
        self.dropout = nn.Dropout(params.dropout)

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
        # At the newest event nothing is to be said: the last step is that of the longest only.
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
    def cross_entropy(self, said: Tensor, targets: Tensor) -> Tensor:
        """Sum the loss over fields and positions; see ``training.SequenceNetwork``."""


class NextEvent(SequenceBlock):
    """A transformer that predicts the next event; its state at the newest one is the vector.

    A history is cut off by the cutoff, not ended by the client: no end has to be predicted.

    Parameters
    ----------
    **params
        Fields of :class:`TransformerParams`.
    """

    section = "3.2.3"
    Parameters: ClassVar[type[TransformerParams]] = TransformerParams
    end: ClassVar[bool] = False
    params: TransformerParams
    network_: Transformer

    def vectors(self, batch: Batch) -> Tensor:  # noqa: D102
        return self.network_.newest(batch)

    def training_sequences(self, history: History) -> Sequences:
        """Give one event more than is read, so that there is a next one at every position."""
        return history.sequences(self.vocabularies_, self.params.last + 1, self.needs)
