from typing import Any, ClassVar

from tests.blocks.contract import BlockContract

TINY = {"hidden": 8, "layers": 2, "last": 16, "batch_size": 8, "max_epochs": 2}


class TestGRUAEDayEventType(BlockContract):
    block_name = "gru_ae_day_event_type"
    params: ClassVar[dict[str, Any]] = TINY


class TestGRUAEWeekAll(BlockContract):
    block_name = "gru_ae_week_all"
    params: ClassVar[dict[str, Any]] = {**TINY, "values": {"sku": 20, "url": 20}}


class TestGRUAEAll(BlockContract):
    block_name = "gru_ae_all"
    params: ClassVar[dict[str, Any]] = {**TINY, "values": {"sku": 20, "url": 20}}


class TestGRUAESkuText(BlockContract):
    block_name = "gru_ae_sku_text"
    params: ClassVar[dict[str, Any]] = {**TINY, "last": 2}
