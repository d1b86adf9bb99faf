"""A disk that is full in any step: one line, nothing is lost, and the same command works later."""

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pipelines.status import status
from tests.pipelines.commands import Outcome, run_ubp
from tests.pipelines.deliveries import deliver
from tests.shops import random_shop
from ubp_platform.home import Home
from ubp_platform.store.retrieval import ProfileStore

#: Bytes that are left: for nothing, for a small file, for a part of what is to be written.
ROOM = (0, 40_000, 300_000)
Ubp = Callable[..., Outcome]


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 48 MB."""
    place = tmp_path / "disk"
    place.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=48m", "none", str(place)]
    if not shutil.which("mount") or subprocess.run(command, capture_output=True).returncode:
        pytest.skip("a small disk cannot be mounted here (root may)")
    yield place
    # Lazily: Feast keeps its registry open.
    subprocess.run(["umount", "--lazy", str(place)], check=True)


def fill(disk: Path, room: int) -> Path:
    """Leave so many bytes; gives the file that takes the others."""
    found = os.statvfs(disk)
    ballast = disk / "ballast"
    ballast.write_bytes(bytes(max(0, found.f_bavail * found.f_frsize - room)))
    return ballast


def state(home: Home) -> object:
    """What is landed, profiled and served; blocks that were finished before the end may stay."""
    found = status(home)
    warehouse, served = found["warehouse"], found["served"]
    return (
        warehouse and [span["rows"] for span in warehouse["tables"].values() if span["rows"]],
        warehouse and warehouse["batches"],
        found["profiles"],
        served,
        served and [p.vector.tobytes() for p in ProfileStore(home).lookup_many([1, 2, 3])],
    )


def test_a_full_disk_loses_nothing_in_any_step(
    disk: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = deliver(tmp_path / "delivery", **random_shop(seed=5, clients=3000, events=60_000))
    home = Home(home=disk / "home")
    assert (
        run_ubp(
            capsys, "ingest", deliver(tmp_path / "few", **random_shop(1)), "--home", home.root
        ).code
        == 0
    )
    blocks = ("handcrafted", "ials_categories")
    steps = [
        ("ingest", source),
        ("train", *blocks, "--cutoff", "2022-07-01"),
        ("publish",),
        ("encode", "--cutoff", "2022-07-10"),
        ("publish",),
    ]
    for step in steps:
        before, failed = state(home), 0
        for room in ROOM:
            ballast = fill(disk, room)
            found = run_ubp(capsys, *step, "--home", home.root)
            ballast.unlink()
            if not found.code:
                continue
            failed += 1
            assert found.code == 2, (step, room, found.err)
            lines = [line for line in found.err.splitlines() if not line.startswith("✓")]
            assert [line[:26] for line in lines] == ["error: the disk is full; w"], found.err
            assert state(home) == before, (step, room)
        assert failed, step
        assert run_ubp(capsys, *step, "--home", home.root).code == 0
    assert not [path for path in home.root.rglob(".*") if "part" in path.name], "left behind"


def test_a_simulation_that_finds_no_room_leaves_nothing(
    disk: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ballast = fill(disk, 100_000)
    found = run_ubp(capsys, "simulate", disk / "shop", "--clients", 500)
    assert (found.code, "the disk is full" in found.err) == (2, True), found.err
    assert not list((disk / "shop").rglob("*"))
    ballast.unlink()
    assert run_ubp(capsys, "simulate", disk / "shop", "--clients", 500).code == 0
