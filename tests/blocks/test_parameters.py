"""Parameters are in signatures, are validated, and survive a round trip through JSON."""

import inspect
import json
from dataclasses import field
from pathlib import Path
from typing import Annotated, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field, PositiveInt

from ubp_platform.blocks.base import Block
from ubp_platform.blocks.gru_ae_week_all import GRUAEWeekAll
from ubp_platform.blocks.lightfm import LightFMBlock
from ubp_platform.blocks.parameters import Parameterized, Share
from ubp_platform.blocks.registry import block_class, block_names
from ubp_platform.choices import Preset
from ubp_platform.errors import UBPError


@pytest.mark.parametrize("name", block_names())
@pytest.mark.parametrize("preset", get_args(Preset))
def test_a_block_is_restored_from_its_configuration(name: str, preset: str) -> None:
    cls = block_class(name)
    block = cls.from_preset(preset, seed=7)
    through_json = json.loads(json.dumps(block.config().model_dump(mode="json")))
    for config in (block.config(), through_json):
        again = cls.from_config(config)
        assert again.config() == block.config()
        assert again.identity("history") == block.identity("history")
    assert cls.from_preset(preset, seed=8).identity("history") != block.identity("history")


@pytest.mark.parametrize("name", block_names())
def test_every_parameter_is_in_the_signature(name: str) -> None:
    cls = block_class(name)
    signature = inspect.signature(cls)
    assert tuple(signature.parameters) == cls.parameters()
    for parameter in signature.parameters.values():
        assert parameter.kind is inspect.Parameter.KEYWORD_ONLY
        assert parameter.default is not inspect.Parameter.empty
    assert set(cls.parameters()) >= {"seed"}


class Histogram(Parameterized):
    bins: PositiveInt = 24
    share: Share = 0.5
    sizes: Annotated[dict[str, int], Field(max_length=2)] | None = None


@given(
    bins=st.integers(1, 10**9),
    share=st.floats(0, 1, exclude_min=True, exclude_max=True),
    sizes=st.none() | st.dictionaries(st.text(max_size=3), st.integers(), max_size=2),
)
def test_all_valid_values_survive_a_round_trip(bins: int, share: float, sizes: dict | None) -> None:
    made = Histogram(bins=bins, share=share, sizes=sizes)
    text = made.config().model_dump_json()
    again = Histogram.from_config(json.loads(text))
    assert (again.bins, again.share, again.sizes) == (bins, share, sizes)


def test_invalid_values_and_names_are_reported_in_one_line() -> None:
    with pytest.raises(ValueError, match=r"^GRUAEWeekAll\(hidden=0\): input should be greater"):
        GRUAEWeekAll(hidden=0)
    with pytest.raises(ValueError, match=r"^LightFMBlock\(codes='words'\): input should be"):
        LightFMBlock(codes="words")
    with pytest.raises(TypeError, match="unexpected keyword argument 'hiden'"):
        GRUAEWeekAll(hiden=64)
    with pytest.raises(ValueError, match="GRUAEWeekAll has no parameter 'hiden'"):
        GRUAEWeekAll.from_config({"hiden": 64})


def test_a_block_shows_its_parameters() -> None:
    assert repr(Histogram(bins=2)) == "Histogram(bins=2, share=0.5, sizes=None)"
    assert "hidden=64" in repr(GRUAEWeekAll(hidden=64))


def test_invalid_parameters_are_reported_when_the_class_is_defined() -> None:
    with pytest.raises(
        TypeError, match=r"Named: 'name' cannot be a parameter, .* leave its annota"
    ):

        class Named(Block):
            name: str = "named"

    with pytest.raises(TypeError, match="Open: the parameter 'bins' needs a default"):

        class Open(Histogram):
            bins: PositiveInt = field()

    class Coarse(Histogram):
        bins: PositiveInt = 4

    assert Coarse().bins == 4


def test_a_default_without_annotation_overrides_an_inherited_one() -> None:
    class Fine(Histogram):
        bins = 96

    assert (Fine().bins, Fine(bins=3).bins, Histogram().bins) == (96, 3, 24)
    with pytest.raises(ValueError, match="Fine has no parameter 'bin'; there are bins, share"):
        Fine.from_config({"bin": 3})
    with pytest.raises(ValueError, match="a configuration is a mapping, not "):
        Fine.from_config("{}")


def test_missing_presets_and_directories_are_reported(tmp_path: Path) -> None:
    with pytest.raises(UBPError, match="gru_ae_week_all has no preset 'medium'; there are"):
        GRUAEWeekAll.from_preset("medium")
    with pytest.raises(UBPError, match=r"none/block\.json is missing: "):
        GRUAEWeekAll.load(f"{tmp_path}/none")
