from typing import Any, ClassVar

from tests.blocks.contract import BlockContract

TINY = {"hidden": 8, "layers": 2, "heads": 2, "last": 16, "batch_size": 8, "max_epochs": 2}


class TestNextProduct(BlockContract):
    block_name = "next_product"
    params: ClassVar[dict[str, Any]] = TINY


class TestNextURL(BlockContract):
    block_name = "next_url"
    params: ClassVar[dict[str, Any]] = {**TINY, "values": {"url": 20}, "negatives": 8}
