"""Rows of ``make chaos`` in their short form: one run, whose rows are single tests.

What a damaged file does is tested where each kind of file is.
"""

import json
import subprocess
import sys

import pytest

from benchmarks.chaos.table import Row
from ubp_platform.home import PROJECT_ROOT

pytestmark = pytest.mark.heavy
SHORT = (
    "--only kill power readers --tries 2 --readers 2 --minutes 0.15 --commands publish --workers 1"
)


@pytest.fixture(scope="module")
def rows() -> dict[str, Row]:
    command = [sys.executable, "-W", "ignore", "-m", "benchmarks.chaos", *SHORT.split()]
    run = subprocess.run(command, cwd=PROJECT_ROOT, capture_output=True, text=True)
    assert run.returncode in (0, 1), run.stderr
    found = json.loads(run.stdout.splitlines()[-1])
    return {name: Row(name, "", *values) for name, values in found.items()}


@pytest.mark.parametrize("name", ["kill", "power", "readers, SQLite", "readers, Redis"])
def test_no_try_fails(name: str, rows: dict[str, Row]) -> None:
    row = rows[name]
    if row.note:
        pytest.skip(row.note)
    assert row.tries
    assert not row.failures
