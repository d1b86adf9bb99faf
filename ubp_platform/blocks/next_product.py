"""Next product (paper, section 3.2.3): a transformer over product events."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from ubp_platform.blocks.output_heads import OutputHeads
from ubp_platform.blocks.transformer import NextEvent, Transformer
from ubp_platform.events.schema import PRODUCT_EVENTS


class NextProductTransformer(Transformer):
    """A transformer with one output head per field."""

    def __init__(self, sizes: Mapping[str, int], **shape: Any) -> None:
        super().__init__(sizes, **shape)
        self.heads = OutputHeads(sizes, shape["hidden"])
        self.initialize()

    def cross_entropy(self, hidden: Tensor, targets: Tensor) -> Tensor:  # noqa: D102
        return self.heads.cross_entropy(hidden, targets)


class NextProduct(NextEvent):
    """Predicts the next product event: event type, category and price.

    Its parameters are those of :class:`~ubp_platform.blocks.transformer.NextEvent`.
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

    def network(self, sizes: Mapping[str, int]) -> NextProductTransformer:  # noqa: D102
        return NextProductTransformer(sizes, **self.shape())
