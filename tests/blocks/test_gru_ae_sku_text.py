from pathlib import Path

import numpy as np
import pandas as pd

from tests.shops import END, START, land
from ubp_platform.blocks.gru_ae_sku_text import GRUAESkuText
from ubp_platform.warehouse.sequences import Vocabulary

CUTOFF = END.tz_localize("UTC").to_pydatetime()


def test_it_reads_the_names_of_the_last_distinct_products(tmp_path: Path) -> None:
    codes = np.arange(16, dtype=np.uint8)
    names = {1: codes, 2: codes + 100, 3: codes[::-1].copy()}
    products = pd.DataFrame({"sku": [*names], "category": 0, "price": 0, "name": [*names.values()]})
    days = pd.to_timedelta(np.arange(6), "D")
    touched = pd.DataFrame(
        # 2 is touched before 1 is touched again; 99 has no properties.
        {"client_id": [5, 5, 5, 5, 5, 4], "timestamp": START + days, "sku": [1, 2, 1, 3, 99, 2]}
    )
    tables = {
        "product_properties": products,
        "product_buy": touched.iloc[[0, 3, 4]],
        "add_to_cart": touched.iloc[[1, 5]],
        "remove_from_cart": touched.iloc[[2]],
    }
    with land(tmp_path / "warehouse.duckdb", tables) as warehouse:
        sequences = GRUAESkuText(last=2).sequences(warehouse.history(CUTOFF))
        all_of_them = GRUAESkuText(last=9).sequences(warehouse.history(CUTOFF))
    assert sequences.client_ids.tolist() == [4, 5]
    assert sequences.offsets.tolist() == [0, 16, 48]
    position = np.arange(16) * 256 + Vocabulary.FIRST
    expected = np.concatenate([position + names[sku] for sku in (2, 1, 3)])
    np.testing.assert_array_equal(sequences.fields["code"], expected)
    expected = np.concatenate([position + names[sku] for sku in (2, 2, 1, 3)])
    np.testing.assert_array_equal(all_of_them.fields["code"], expected)
