"""The directory of `ubp export` is completed or unchanged, and loses nothing."""

import shutil
import signal
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from pipelines.export import Exported, export
from tests.evaluation.exported import (
    BLOCKS,
    ENTRIES,
    assert_valid,
    load,
    make_shop,
    open_shop,
    tree,
)
from tests.pipelines.commands import run_ubp
from tests.processes import die, exit_code
from ubp_platform import files
from ubp_platform.blocks.snapshot import Snapshot
from ubp_platform.errors import UBPError
from ubp_platform.evaluation.export import appearing
from ubp_platform.home import Home
from ubp_platform.warehouse import unload


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Home:
    return open_shop(tmp_path_factory.mktemp("shop"), make_shop())


@pytest.fixture(scope="module")
def exported(shop: Home, tmp_path_factory: pytest.TempPathFactory) -> Exported:
    return export(shop, tmp_path_factory.mktemp("export") / "out", blocks=BLOCKS)


@pytest.fixture(scope="module")
def out(exported: Exported) -> Path:
    return exported.directory


def test_a_profile_that_float16_cannot_hold(shop: Home, exported: Exported, tmp_path: Path) -> None:
    copy = Home(home=tmp_path / "home")
    shutil.copytree(shop.root, copy.root)
    version = exported.tested.version
    path = copy.evaluation / "profiles" / version.name / version.snapshots[0].path.name
    snapshot = Snapshot.read(path)
    snapshot.vectors[4, 3] = -1e6
    snapshot.write(path, version.snapshots[0].made_from)
    (tmp_path / "out").mkdir()
    (tmp_path / "out/notes.txt").write_text("mine")
    before = tree(tmp_path / "out")
    with pytest.raises(UBPError, match=r"-1000000\.0 exceeds the range of float16"):
        export(copy, tmp_path / "out", blocks=BLOCKS)
    assert tree(tmp_path / "out") == before


@pytest.mark.parametrize("entry", ENTRIES)
def test_a_directory_in_use_is_refused_and_unchanged(
    shop: Home, out: Path, tmp_path: Path, entry: str
) -> None:
    copy = shutil.copytree if (out / entry).is_dir() else shutil.copy
    copy(out / entry, tmp_path / entry)
    before = tree(tmp_path)
    with pytest.raises(UBPError, match=f"has {entry} already: remove them") as raised:
        export(shop, tmp_path, blocks=BLOCKS)
    assert "\n" not in str(raised.value)
    assert tree(tmp_path) == before


def test_a_file_is_no_directory(shop: Home, tmp_path: Path) -> None:
    (tmp_path / "out").write_text("mine")
    with pytest.raises(UBPError, match="is a file"):
        export(shop, tmp_path / "out", blocks=BLOCKS)
    assert tree(tmp_path) == {"out": b"mine"}


def test_other_files_of_the_directory_stay(shop: Home, out: Path, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    export(shop, tmp_path, blocks=BLOCKS)
    assert {path.name for path in tmp_path.iterdir()} == {"notes.txt", *ENTRIES}
    assert (tmp_path / "notes.txt").read_text() == "mine"
    assert (tmp_path / "embeddings.npy").read_bytes() == (out / "embeddings.npy").read_bytes()


def crash(*arguments: object, **more: object) -> None:
    raise RuntimeError("the lights went out")


def stop(*arguments: object, **more: object) -> None:
    raise KeyboardInterrupt


@pytest.mark.parametrize("there", [False, True])
@pytest.mark.parametrize(("place", "how"), [("event_file", stop), ("purchase_file", crash)])
def test_a_crash_leaves_nothing_and_a_rerun_works(
    shop: Home,
    out: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    there: bool,
    place: str,
    how: Callable[..., None],
) -> None:
    directory = tmp_path / "out"
    if there:
        directory.mkdir()
        (directory / "notes.txt").write_text("mine")
    before = tree(tmp_path)
    with monkeypatch.context() as patch, pytest.raises((RuntimeError, KeyboardInterrupt)):
        patch.setattr(unload, place, how)
        export(shop, directory, blocks=BLOCKS)
    assert tree(tmp_path) == before
    export(shop, directory, blocks=BLOCKS)
    assert_valid(directory)
    assert len(list(directory.iterdir())) == len(ENTRIES) + there


def export_until_killed(directory: Path) -> None:
    with appearing(directory) as unfinished:
        (unfinished / "client_ids.npy").write_text("a part")
        die()


@pytest.mark.parametrize("there", [False, True])
def test_the_next_export_removes_what_a_killed_one_left(
    shop: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, there: bool
) -> None:
    directory = tmp_path / "out"
    if there:
        directory.mkdir()
    (tmp_path / ".mine.part").write_text("of another program")
    assert exit_code(export_until_killed, directory) == -signal.SIGKILL
    assert len([path for path in tmp_path.rglob(".*") if path.is_dir()]) == 1
    monkeypatch.setattr(files, "_SECONDS_TO_LOCK", 0)
    export(shop, directory, blocks=BLOCKS)
    assert_valid(directory)
    assert {path.name for path in tmp_path.iterdir()} == {".mine.part", "out"}
    assert {path.name for path in directory.iterdir()} == set(ENTRIES)


def test_two_exports_into_one_directory(shop: Home, out: Path, tmp_path: Path) -> None:
    """The export that ends first wins; the other one is refused."""
    with pytest.raises(UBPError, match=r"has .* already"), appearing(tmp_path / "o") as slow:
        (slow / "client_ids.npy").write_text("slow")
        export(shop, tmp_path / "o", blocks=BLOCKS)
    assert tree(tmp_path / "o").keys() == tree(out).keys()
    assert_valid(tmp_path / "o")


def test_the_command_tells_what_it_wrote(
    shop: Home, out: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    np.save(tmp_path / "some.npy", np.array([3, 1, 4000]))
    directory = tmp_path / "new [1]" / "out"
    arguments = ("--home", shop.root, "--blocks", ",".join(BLOCKS), "--classes", out / "target")
    done = run_ubp(capsys, "export", directory, "--clients", tmp_path / "some.npy", *arguments)
    assert done.code == 0
    lines = [" ".join(line.split()) for line in done.out.splitlines()]
    assert f"embeddings.npy 3 {load(out / 'embeddings.npy').shape[1]}" in lines
    assert "input/relevant_clients.npy 3 1" in lines
    assert f"Fitted before: {', '.join(BLOCKS)}" in lines
    assert any(line.startswith("1 of them have no event") for line in lines)
    assert lines[-1] == (
        f"Next ubp evaluate --embeddings '{directory}' --clients '{directory}/client_ids.npy' "
        f"--classes '{directory}/target'"
    )
    assert_valid(directory)


def test_the_command_refuses_in_one_line(
    shop: Home, out: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    home = ("--home", shop.root)
    for arguments, words in {
        (tmp_path / "a", "--format", "csv", *home): "'csv' is not one of 'challenge'",
        (out, *home): "already: remove them, or name another directory",
        (tmp_path / "a", "--home", tmp_path / "nowhere"): "run `ubp ingest SOURCE` first",
        (tmp_path / "a", "--blocks", "nothing", *home): "no block is called 'nothing'",
        (tmp_path / "a", "--clients", tmp_path / "b.npy", *home): "no such file",
    }.items():
        refused = run_ubp(capsys, "export", *arguments)
        assert refused.code == 2
        assert words in refused.err
        assert refused.err.count("\n") == 1
    assert not tree(tmp_path)
