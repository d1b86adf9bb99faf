"""A network whose vector is useful at several lengths: most informative dimensions first."""

import numpy as np
import torch
from torch import Tensor, nn

# Input features overlap: the network should not rely on any single one.
_INPUT_DROPOUT = 0.1


class SkipEncoder(nn.Module):
    """A linear map plus a small MLP, from input features to the vector.

    The linear map does most of it; a second hidden layer makes it worse (docs/notes/tried.md).
    """

    def __init__(self, inputs: int, hidden: int, width: int, dropout: float) -> None:
        super().__init__()
        self.straight = nn.Linear(inputs, width)
        self.hidden = nn.Sequential(
            nn.Linear(inputs, hidden), nn.GELU(), nn.Dropout(dropout), nn.Linear(hidden, width)
        )
        self.dropout = nn.Dropout(_INPUT_DROPOUT)

    def forward(self, x: Tensor) -> Tensor:
        """Return the vectors: (rows, width)."""
        x = self.dropout(x)
        vectors: Tensor = self.straight(x) + self.hidden(x)
        return vectors


class MatryoshkaNetwork(nn.Module):
    """An encoder, and a linear head on each prefix of its vector.

    Each prefix has to predict all targets by itself, so the first dimensions become the most
    informative (Kusupati et al. 2022, "Matryoshka representation learning").

    Parameters
    ----------
    encoder : SkipEncoder
    prefixes : list of int
        Lengths of the prefixes, ascending.
    rates : ndarray of float64, shape (n_targets,)
        The base rate of each target, from which the heads' biases start.
    """

    def __init__(self, encoder: SkipEncoder, prefixes: list[int], rates: np.ndarray) -> None:
        super().__init__()
        self.encoder, self.prefixes = encoder, prefixes
        self.heads = nn.ModuleList(nn.Linear(prefix, len(rates)) for prefix in prefixes)
        bias = torch.from_numpy(np.log(rates / (1 - rates)).astype(np.float32))
        for head in self.heads:
            head.register_parameter("bias", nn.Parameter(bias.clone()))

    def forward(self, x: Tensor) -> list[Tensor]:
        """Return each head's logits: (rows, n_targets)."""
        vectors = self.encoder(x)
        return [
            head(vectors[:, :prefix])
            for head, prefix in zip(self.heads, self.prefixes, strict=True)
        ]
