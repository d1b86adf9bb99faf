"""Next product (paper, section 3.2.3): a transformer over product events."""

from collections.abc import Mapping

from torch import Tensor

from ubp_platform.blocks.heads import Heads
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
        self.heads = Heads(sizes, params.hidden)
        self.initialize()

    def cross_entropy(self, said: Tensor, targets: Tensor) -> Tensor:
        """Sum the loss over fields and positions, as :class:`Heads` do."""
        return self.heads.cross_entropy(said, targets)


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
            "batch_size": 16,
            "learning_rate": 2e-3,
            "max_epochs": 8,
            "threads": 1,
        },
    }

    def network(self, sizes: Mapping[str, int]) -> Network:  # noqa: D102
        return Network(sizes, self.params)
