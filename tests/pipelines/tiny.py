"""Presets of every block that are fitted in a moment."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.blocks.tiny_models import tiny_llama
from ubp_platform.blocks.base import Block
from ubp_platform.blocks.lightfm import LightFMBlock
from ubp_platform.blocks.lm import LanguageModelBlock
from ubp_platform.blocks.registry import block_class, block_names
from ubp_platform.blocks.sequence_block import SequenceBlock

NETWORK = {"hidden": 16, "layers": 1, "last": 16, "batch_size": 32, "max_epochs": 2}


def tiny(block: type[Block], model: Path) -> dict[str, Any]:
    """Return the parameters of a block's tiny preset; ``model`` is a tiny language model."""
    if issubclass(block, SequenceBlock):
        return NETWORK
    if issubclass(block, LightFMBlock):
        return {"max_epochs": 2}
    if issubclass(block, LanguageModelBlock):
        return {"model": str(model), "last": 3}
    return {}


@contextmanager
def tiny_presets(directory: Path) -> Iterator[None]:
    """Make the preset `small` tiny for all blocks; writes a language model to a directory."""
    model = tiny_llama(directory / "model")
    with pytest.MonkeyPatch.context() as patch:
        for name in block_names():
            block = block_class(name)
            small = {**block.presets["small"], **tiny(block, model)}
            patch.setattr(block, "presets", {**block.presets, "small": small})
        yield
