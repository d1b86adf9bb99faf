"""Shops with few product properties: every block copes, or reports what is missing."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from pipelines.ingest import ingest
from pipelines.train import train
from tests.pipelines.deliveries import deliver
from tests.pipelines.job import LAST
from tests.pipelines.tiny import tiny_presets
from tests.shops import random_shop
from ubp_platform.blocks.snapshot import Snapshot
from ubp_platform.home import Home


@pytest.fixture(scope="module", autouse=True)
def tiny_blocks(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with tiny_presets(tmp_path_factory.mktemp("language")):
        yield


def shop(lacks: str) -> dict[str, pd.DataFrame]:
    tables = random_shop(events=300)
    products = tables["product_properties"].astype(object)
    if lacks == "some of each":
        for number, column in enumerate(("category", "price", "name")):
            products.loc[products.index % 4 == number, column] = None
    elif lacks == "all properties":
        del tables["product_properties"]
        return tables
    else:
        products = products.drop(columns=lacks)
    products = products.convert_dtypes() if lacks == "some of each" else products
    return {**tables, "product_properties": products}


@pytest.mark.parametrize("lacks", ["some of each", "all properties"])
def test_every_block_copes_with_missing_data(home: Home, tmp_path: Path, lacks: str) -> None:
    ingest(home, str(deliver(tmp_path / "delivery", **shop(lacks))))
    done = train(home, cutoff=LAST, profile="paper")
    expected = {
        "all properties": {
            "gru_ae_sku_text": "of a product with a name",
            "ials_categories": "with a known category",
        },
    }.get(lacks, {})
    assert done.unavailable.keys() == expected.keys()
    for block, words in expected.items():
        assert words in done.unavailable[block]
    done = train(home, cutoff=LAST)
    snapshot = Snapshot.read(done.profile.snapshot_path(LAST))
    assert len(snapshot.client_ids) == 60
    assert np.isfinite(snapshot.vectors).all()
