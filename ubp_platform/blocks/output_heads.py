"""The output layer of a network that predicts events: a linear head per field."""

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class OutputHeads(nn.ModuleDict):
    """One linear layer per field, from hidden states to logits.

    Parameters
    ----------
    sizes : mapping of str to int
        Number of tokens of each field.
    hidden : int
        Width of the hidden states.
    """

    def __init__(self, sizes: Mapping[str, int], hidden: int) -> None:
        super().__init__({field: nn.Linear(hidden, size) for field, size in sizes.items()})

    def cross_entropy(self, hidden: Tensor, targets: Tensor) -> Tensor:
        """Sum the loss over fields and positions: (positions, hidden), (n_fields, positions)."""
        losses = [
            F.cross_entropy(head(hidden), target, reduction="sum")
            for head, target in zip(self.values(), targets, strict=True)
        ]
        return torch.stack(losses).sum()
