from collections.abc import Iterator

import pytest

from ubp_platform.blocks.registry import block_class


@pytest.fixture(scope="module", autouse=True)
def short_fits() -> Iterator[None]:
    """Fit the slowest block of the default profile in two epochs."""
    block = block_class("future_window")
    small = {**block.presets["small"], "max_epochs": 2}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(block, "presets", {**block.presets, "small": small})
        yield
