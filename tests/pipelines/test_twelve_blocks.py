"""All twelve blocks in the sizes of the paper make a profile of 1066 numbers."""

from pathlib import Path

import numpy as np
import pytest
from threadpoolctl import threadpool_limits

from pipelines.publish import publish
from pipelines.train import train
from tests.blocks.tiny_models import tiny_llama
from tests.pipelines.job import FIT
from tests.shops import land, random_shop
from ubp_platform.blocks.lightfm import LightFMBlock
from ubp_platform.blocks.lm import LanguageModelBlock
from ubp_platform.blocks.registry import block_class, block_names
from ubp_platform.blocks.sequence_block import SequenceBlock
from ubp_platform.home import Home
from ubp_platform.profile.listing import newest_version
from ubp_platform.store.retrieval import ProfileStore

# From the paper (section 3.3 and Table 3), in the order of the profile.
WIDTHS = {
    "ials_categories": 64,
    "ials_page_visits": 64,
    "lightfm": 64,
    "next_product": 128,
    "next_url": 192,
    "gru_ae_day_event_type": 128,
    "gru_ae_all": 64,
    "gru_ae_week_all": 64,
    "gru_ae_sku_text": 64,
    "lm_all_interactions": 128,
    "lm_search_queries": 64,
    "handcrafted": 42,
}
# As wide as SmolLM2-135M, whose weights are not available.
MODEL_WIDTH = 576


def test_the_registry_has_the_twelve_blocks_of_the_paper_in_its_order() -> None:
    assert [name for name in block_names() if name in WIDTHS] == list(WIDTHS)
    assert sum(WIDTHS.values()) == 1066


@pytest.mark.heavy
def test_the_paper_preset_makes_a_profile_of_1066_numbers(
    home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Fewer clients than principal components would make it narrower.
    clients = 136
    tables = random_shop(seed=5, clients=clients, events=1200)
    for name in WIDTHS:
        block, fewer = block_class(name), {}
        if issubclass(block, SequenceBlock):
            fewer = {"max_epochs": 1, "last": 2}
        if issubclass(block, LightFMBlock):
            fewer = {"max_epochs": 1}
        if issubclass(block, LanguageModelBlock):
            fewer = {"last": 2}
        paper = {**block.presets["paper"], **fewer}
        monkeypatch.setattr(block, "presets", {**block.presets, "paper": paper})
    model = tiny_llama(tmp_path / "model", width=MODEL_WIDTH)
    # On a busy machine two threads of BLAS wait for each other.
    with land(home.warehouse, tables), threadpool_limits(1, "blas"):
        result = train(home, list(WIDTHS), FIT, preset="paper", model=str(model))
    assert not result.unavailable
    widths = {part.block: part.width for part in result.profile.parts}
    assert list(widths) == list(WIDTHS)
    # Features that were added to the paper's 42.
    more = widths["handcrafted"] - WIDTHS["handcrafted"]
    assert widths == {**WIDTHS, "handcrafted": WIDTHS["handcrafted"] + more}
    publish(home)
    profile = ProfileStore(home).lookup(1)
    assert profile.known
    assert profile.vector.shape == (newest_version(home).width,) == (1066 + more,)
    assert np.isfinite(profile.vector).all()
