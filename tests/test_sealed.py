"""Files with their own checksums: whatever bit changes, the file is refused or reads the same."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel

from tests.pipelines.job import FIT
from ubp_platform import sealed
from ubp_platform.blocks.fit_files import read_weights, write_weights
from ubp_platform.blocks.snapshot import Snapshot
from ubp_platform.blocks.snapshot_files import Origin, check_snapshot, describe_snapshot, is_current
from ubp_platform.errors import DamagedFile


class Model(BaseModel):
    words: str
    number: int = 3


def read(path: Path) -> object:
    """Read any of the three kinds of file, to something that can be compared."""
    if path.suffix == ".json":
        return sealed.read_json(path, Model, "…")
    if path.suffix == ".safetensors":
        return {name: array.tobytes() for name, array in read_weights(path.parent).items()}
    found = Snapshot.read(path)
    return describe_snapshot(path).made_from, found.client_ids.tobytes(), found.vectors.tobytes()


@pytest.fixture(scope="module", params=["json", "safetensors", "parquet"])
def path(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("sealed")
    if request.param == "json":
        path = directory / "model.json"
        path.write_text(sealed.sealed_json(Model(words="Grüße")), "utf-8")
        return path
    if request.param == "safetensors":
        write_weights(directory, {"a": np.arange(30.0), "b": np.ones((3, 2), np.float32)})
        return directory / "weights.safetensors"
    path = directory / "20220701T000000Z.parquet"
    vectors = np.random.default_rng(0).normal(size=(50, 4)).astype(np.float32)
    Snapshot(FIT, np.arange(50), vectors).write(path, Origin("history", "fits"))
    return path


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_a_flipped_bit_is_noticed_or_changes_nothing(path: Path, data: st.DataObject) -> None:
    content = bytearray(path.read_bytes())
    bit = data.draw(st.integers(0, 8 * len(content) - 1))
    content[bit // 8] ^= 1 << bit % 8
    other = path.with_name(f"damaged-{bit}") / path.name
    other.parent.mkdir(exist_ok=True)
    other.write_bytes(content)
    try:
        found = read(other)
    except DamagedFile as error:
        assert str(other) in str(error)
    else:
        assert found == read(path)


@pytest.mark.parametrize("damage", ["half", "empty", "gone"])
def test_half_a_file_and_none_are_named(path: Path, damage: str, tmp_path: Path) -> None:
    other, content = tmp_path / path.name, path.read_bytes()
    if damage != "gone":
        other.write_bytes(content[: len(content) // 2] if damage == "half" else b"")
    problem = "missing" if damage == "gone" else "damaged"
    with pytest.raises(DamagedFile, match=f"{other} is {problem}"):
        read(other)


def test_files_of_earlier_releases_are_read(tmp_path: Path) -> None:
    path = tmp_path / "model.json"
    path.write_text('{"words": "older"}')
    assert sealed.read_json(path, Model, "…").words == "older"


def test_a_snapshot_is_current_only_if_it_is_whole(path: Path, tmp_path: Path) -> None:
    if path.suffix != ".parquet":
        return
    assert is_current(path, Origin("history", "fits"))
    assert not is_current(path, Origin("history", "other fits"))
    content = bytearray(path.read_bytes())
    content[100] ^= 1
    copy = tmp_path / path.name
    copy.write_bytes(content)
    # The footer alone is in order.
    assert describe_snapshot(copy).clients == 50
    assert not is_current(copy, Origin("history", "fits"))
    with pytest.raises(DamagedFile, match="`ubp encode --cutoff 20220701T000000Z` writes it again"):
        check_snapshot(copy)
