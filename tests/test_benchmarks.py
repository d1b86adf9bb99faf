"""The benchmarks run: each at a size that takes seconds; what they measure is not tested."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.full_log.processes import STEPS
from tests.store.redis_server import PROGRAM
from ubp_platform.home import PROJECT_ROOT

SMALL = {
    "ingest": ["--rows", "20000"],
    "handcrafted": ["--small"],
    "gru_training": ["--small"],
    "gru_encode": ["--small"],
    "next_url": ["--small"],
    "lightfm_codes": ["--small"],
    "evaluation": ["--small"],
    "simulate": ["--clients", "300"],
    "full_log": ["--scales", "0.0003", "--directory", "{}/run", "--append", "{}/runs.md"],
}


@pytest.mark.parametrize(("script", "size"), SMALL.items(), ids=SMALL)
def test_benchmark_ends_with_its_ratio(script: str, size: list[str], tmp_path: Path) -> None:
    options = [option.format(tmp_path) for option in size]
    run = subprocess.run(
        [sys.executable, "-m", f"benchmarks.{script}", *options],
        cwd=PROJECT_ROOT,
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stderr
    result = json.loads(run.stdout.strip().splitlines()[-1])
    assert result["benchmark"] == script
    assert result["ratio"] > 0
    if script == "full_log":
        assert (tmp_path / "pictures" / "full_log_0.0003.png").exists()
        table = (tmp_path / "runs.md").read_text().splitlines()
        steps = len([line for line in table if line.startswith("| ")]) - 1
        assert steps == len(STEPS) - (PROGRAM is None)
