"""The contract of blocks that learn at pseudo-cutoffs."""

from abc import abstractmethod
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tests.blocks.contract import CUTOFF, CUTOFF_DAY, BlockContract, Tables
from tests.shops import START, land
from ubp_platform.blocks.base import Block
from ubp_platform.errors import BlockUnavailable
from ubp_platform.warehouse import Warehouse

DAY = pd.Timedelta(days=1)


class FutureContract(BlockContract):
    @staticmethod
    @abstractmethod
    def learned_by(block: Any) -> object:
        """Return the result of a fit, to be compared."""

    def test_a_purchase_before_the_cutoff_reaches_the_fit_and_one_at_it_does_not(
        self, tables: Tables, block: Block, tmp_path: pytest.TempPathFactory
    ) -> None:
        # No input sees it: all pseudo-cutoffs are at least 14 days before the last day.
        for name, day, same in (("last", CUTOFF_DAY - DAY, False), ("at", CUTOFF_DAY, True)):
            with land(tmp_path / f"{name}.duckdb", _buying(tables, day)) as warehouse:
                again = self.fit(warehouse)
            assert (self.learned_by(again) == self.learned_by(block)) == same

    def test_a_fit_that_draws_clients_encodes_all(self, warehouse: Warehouse) -> None:
        block = self.fit(warehouse, clients=10)
        assert block.report_.clients <= 10
        assert len(block.encode(warehouse.history(CUTOFF)).client_ids) > 30

    def test_history_without_a_complete_window_is_unavailable(self, warehouse: Warehouse) -> None:
        soon = pd.Timestamp(START) + 20 * DAY
        with pytest.raises(BlockUnavailable, match="in 14 days after a week or more"):
            self.new_block().fit(warehouse.history(soon.tz_localize("UTC").to_pydatetime()))


def _buying(tables: Tables, time: pd.Timestamp) -> Tables:
    """Add purchases of the most bought product by many clients at one time."""
    buys = tables["product_buy"]
    many = pd.DataFrame({"client_id": np.arange(1, 41), "sku": buys["sku"].mode()[0]})
    return {**tables, "product_buy": pd.concat([buys, many.assign(timestamp=time)])}
