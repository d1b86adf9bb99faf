"""On a full disk every step fails in one line, loses nothing, and works when repeated later."""

from pathlib import Path

import pytest

from pipelines.status import status
from tests.pipelines.commands import run_ubp
from tests.pipelines.deliveries import deliver
from tests.shops import random_shop
from tests.small_disk import SmallDisk
from ubp_platform.home import Home
from ubp_platform.store.retrieval import ProfileStore

#: Bytes that are left: for nothing, for a part of what is to be written.
ROOM = (0, 100_000)


def state(home: Home) -> object:
    """The landed, profiled and served state; blocks that were finished may stay."""
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
    disk: SmallDisk, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = deliver(tmp_path / "delivery", **random_shop(seed=5, clients=1000, events=20_000))
    home = Home(home=disk.path / "home")
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
        # These copy the warehouse; all but the first time there is room for that.
        copied = home.warehouse.stat().st_size if step[0] in ("train", "encode") else 0
        for room in (0, *(copied + room for room in ROOM[1:])):
            with disk.full(room):
                found = run_ubp(capsys, *step, "--home", home.root)
            if not found.code:
                continue
            failed += 1
            assert found.code == 2, (step, room, found.err)
            lines = [line for line in found.err.splitlines() if not line.startswith("✓")]
            assert [line[:26] for line in lines] == ["error: the disk is full; n"], found.err
            assert state(home) == before, (step, room)
        assert failed, step
        assert run_ubp(capsys, *step, "--home", home.root).code == 0
    assert not [path for path in home.root.rglob(".*") if "part" in path.name], "left behind"


def test_a_simulation_on_a_full_disk_leaves_nothing(
    disk: SmallDisk, capsys: pytest.CaptureFixture[str]
) -> None:
    shop = disk.path / "shop"
    with disk.full(100_000):
        found = run_ubp(capsys, "simulate", shop, "--clients", 500)
    assert (found.code, "the disk is full" in found.err) == (2, True), found.err
    assert not list(shop.rglob("*"))
    assert run_ubp(capsys, "simulate", shop, "--clients", 500).code == 0
