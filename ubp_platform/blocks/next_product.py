"""Next product (paper, section 3.2.3): a transformer over product events."""

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ubp_platform.blocks.transformer import NextEvent, Transformer, TransformerParams
from ubp_platform.events.schema import PRODUCT_EVENTS


class Network(Transformer):
    """A transformer with one head a field.

    Parameters
    ----------
    sizes : mapping of str to int
        Tokens of each field.
    params : TransformerParams
    """

    def __init__(self, sizes: Mapping[str, int], params: TransformerParams) -> None:
        super().__init__(sizes, params)
        self.heads = nn.ModuleDict({f: nn.Linear(params.hidden, n) for f, n in sizes.items()})
        self.initialize()

    def cross_entropy(self, said: Tensor, targets: Tensor) -> Tensor:
        """Sum the cross-entropies over fields and positions.

        Parameters
        ----------
        said : Tensor of float, shape (positions, hidden)
        targets : Tensor of int64, shape (n_fields, positions)
        """
        fields = zip(self.heads.values(), targets, strict=True)
        losses = [F.cross_entropy(head(said), target, reduction="sum") for head, target in fields]
        return torch.stack(losses).sum()


class NextProduct(NextEvent):
    """Predicts what is done next with a product: event type, category and price.

    Parameters
    ----------
    **params
        Fields of :class:`~ubp_platform.blocks.transformer.TransformerParams`.
    """

    name = "next_product"
    needs = PRODUCT_EVENTS
    fields = ("event_type", "category", "price")
    presets = {  # noqa: RUF012
        "paper": {"hidden": 128, "layers": 4, "heads": 4, "last": 64},
        "small": {
            "hidden": 64,
            "layers": 2,
            "heads": 2,
            "last": 32,
            "values": {"category": 500},
            "batch_size": 32,
            "learning_rate": 2e-3,
            "max_epochs": 5,
            "threads": 1,
        },
    }

    def network(self, sizes: Mapping[str, int]) -> Network:  # noqa: D102
        return Network(sizes, self.params)
