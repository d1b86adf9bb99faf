"""A full disk while fitting, scoring or exporting: one line, and nothing incomplete."""

import shutil
from pathlib import Path

import pandas as pd
import pytest

from tests.evaluation.evaluated import thin_networks
from tests.pipelines.commands import run_ubp
from tests.pipelines.tiny import tiny_presets
from tests.small_disk import SmallDisk
from ubp_platform.home import Home

CUTOFF = "2022-07-01"


def finished(home: Home, out: Path) -> dict[str, bytes]:
    """The output of completed commands, without caches."""
    places = [home.profiles, home.blocks, home.report, out, home.evaluation / "evaluation.json"]
    files = [file for place in places for file in (place, *place.rglob("*")) if file.is_file()]
    return {str(file): file.read_bytes() for file in files}


def test_a_full_disk_leaves_nothing_half_done(
    ingested: Home, disk: SmallDisk, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    home, out = Home(home=disk.path / "home"), disk.path / "out"
    shutil.copytree(ingested.root, home.root)
    out.mkdir()
    rows = {"client_id": range(1, 300), "event_timestamp": pd.Timestamp("2022-07-20", tz="UTC")}
    pd.DataFrame(rows).to_parquet(tmp_path / "entities.parquet")
    pd.DataFrame({"client_id": range(1, 300)}).to_parquet(tmp_path / "wanted.parquet")
    network = "gru_ae_day_event_type"
    steps = [
        ("clients", tmp_path / "wanted.parquet"),
        ("train", network, "handcrafted", "--cutoff", CUTOFF),
        ("publish",),
        ("training-set", tmp_path / "entities.parquet", out / "set"),
        ("evaluate", "--blocks", "handcrafted", "--tasks", "churn"),
        ("export", out / "challenge"),
    ]
    with tiny_presets(tmp_path), thin_networks():
        for step in steps:
            before, failed = finished(home, out), 0
            # These copy the warehouse; all but the first time there is room for that.
            fits = step[0] in ("train", "evaluate", "export")
            copied = home.warehouse.stat().st_size if fits else 0
            for room in (0, copied + 40_000):
                with disk.full(room):
                    found = run_ubp(capsys, *step, "--home", home.root)
                if not found.code:
                    continue
                failed += 1
                assert found.code == 2, (step, room, found.err)
                assert "error: the disk is full; nothing" in found.err, (
                    step,
                    found.err,
                )
                after = finished(home, out)
                # Blocks that were finished are kept.
                assert {path: after[path] for path in before} == before, (step, room)
                assert not set(after) - set(before) or step[0] in ("train", "evaluate")
            assert failed, step
            assert run_ubp(capsys, *step, "--home", home.root).code == 0, step
    assert not [path for path in disk.path.rglob(".*") if "part" in path.name], "left behind"
