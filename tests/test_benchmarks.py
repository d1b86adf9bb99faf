"""The benchmarks run: each at a size that takes seconds; what they measure is not tested."""

import json
import subprocess
import sys

import pytest

from ubp_platform.home import PROJECT_ROOT

SMALL = {
    "ingest": ["--rows", "20000"],
    "handcrafted": ["--small"],
    "gru_training": ["--small"],
    "gru_encode": ["--small"],
    "next_url": ["--small"],
    "lightfm_codes": ["--small"],
    "lookup": ["--clients", "200", "--width", "16", "--lookups", "200"],
    "training_set": ["--rows", "300", "--clients", "100", "--width", "16"],
    "evaluation": ["--small"],
    "simulate": ["--clients", "300"],
    "assembly": ["--clients", "300"],
}


@pytest.mark.parametrize(("script", "size"), SMALL.items(), ids=SMALL)
def test_benchmark_ends_with_its_ratio(script: str, size: list[str]) -> None:
    run = subprocess.run(
        [sys.executable, "-m", f"benchmarks.{script}", *size],
        cwd=PROJECT_ROOT,
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stderr
    result = json.loads(run.stdout.strip().splitlines()[-1])
    assert result["benchmark"] == script
    assert result["ratio"] > 0
