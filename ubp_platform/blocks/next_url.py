"""Next URL (paper, section 3.2.3): a transformer over page visits."""

from collections.abc import Mapping
from typing import Any, ClassVar

from pydantic import PositiveInt
from torch import Tensor

from ubp_platform.blocks.sampled_softmax import SampledSoftmax, exact_cross_entropy
from ubp_platform.blocks.transformer import NextEvent, Transformer
from ubp_platform.warehouse.sequences import Vocabulary


class NextURLTransformer(Transformer):
    """A transformer with tied input and output embeddings, as in GPT-2.

    The softmax is estimated from a sample of URLs in training, and exact in validation. Memory and
    time of a step depend on the sample size, not on the number of known URLs.
    """

    def __init__(self, sizes: Mapping[str, int], negatives: int, **shape: Any) -> None:
        super().__init__(sizes, **shape, sparse=True)
        self.softmax = SampledSoftmax(sizes["url"] - Vocabulary.FIRST, negatives)
        self.initialize()

    def cross_entropy(self, hidden: Tensor, targets: Tensor) -> Tensor:
        """Sum the cross-entropies over positions: estimated in training, exact otherwise."""
        table: Any = self.embeddings["url"]
        values = targets[0] - Vocabulary.FIRST  # (positions,)
        if self.training:
            return self.softmax(hidden, values, table, Vocabulary.FIRST)
        return exact_cross_entropy(hidden, values, table.weight[Vocabulary.FIRST :])


class NextURL(NextEvent):
    """Predicts the next visited URL.

    An unknown URL is read as ``RARE`` but never predicted: with millions of URLs it would be the
    most likely prediction everywhere, and carry no information.

    Parameters
    ----------
    negatives : int
        Sample size of the softmax in training; each slice of positions draws a new sample.
    **others
        As in :class:`~ubp_platform.blocks.transformer.NextEvent`.
    """

    name = "next_url"
    needs = ("page_visit",)
    fields = ("url",)
    rare: ClassVar[bool] = False
    presets = {  # noqa: RUF012
        "paper": {
            "hidden": 192,
            "layers": 6,
            "heads": 4,
            "last": 256,
            # By Zipf's law each is visited at least some hundred times in the challenge's log of
            # 156 million visits to 12.7 million URLs; together they have 70% of the visits.
            "values": {"url": 100_000},
            "negatives": 4096,
        },
        "small": {
            "hidden": 64,
            "layers": 2,
            "heads": 2,
            "last": 128,
            "values": {"url": 5000},
            "negatives": 512,
            "batch_size": 32,
            "learning_rate": 2e-3,
            "table_learning_rate": 1.2e-2,
            "max_epochs": 4,
            "threads": 1,
        },
    }

    negatives: PositiveInt = 4096

    def network(self, sizes: Mapping[str, int]) -> NextURLTransformer:  # noqa: D102
        return NextURLTransformer(sizes, self.negatives, **self.shape())
