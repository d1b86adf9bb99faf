"""What a step leaves behind, on a terminal and in the log."""

import io
import logging
import re
import subprocess
import sys

import pytest
from rich.console import Console

from ubp_platform import progress
from ubp_platform.progress import bars, logged


@pytest.fixture
def console() -> Console:
    return Console(file=io.StringIO(), force_terminal=True, width=120)


def left(console: Console) -> str:
    """Give the last state of the bar, without colours and movements."""
    assert isinstance(console.file, io.StringIO)
    plain = re.sub(r"\x1b\[[\d;?]*[a-zA-Z]", "", console.file.getvalue())
    return [line for line in re.split(r"[\r\n]+", plain) if "work" in line][-1]


def test_a_bar_ends_with_a_tick(console: Console) -> None:
    with bars(console)("work", 3, "rows") as advance:
        advance(3)
    assert re.match("✓ work .*100%", left(console))


def test_a_bar_of_unknown_length_ends_with_a_tick(console: Console) -> None:
    with bars(console)("work", None, "rows") as advance:
        advance(7)
    assert re.match("✓ work .*100%", left(console))


@pytest.mark.parametrize("total", [0, None])
def test_nothing_to_do_is_done(console: Console, total: int | None) -> None:
    with bars(console)("work", total, "rows"):
        pass
    assert re.match("✓ work .*100%", left(console))


def test_a_bar_whose_work_failed_says_so(console: Console) -> None:
    with pytest.raises(ZeroDivisionError), bars(console)("work", 4, "rows") as advance:
        advance(1)
        raise ZeroDivisionError
    assert re.match("✗ work .*25%", left(console))


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.INFO, logger="ubp")
    return caplog


def test_a_step_is_logged_with_what_it_did(log: pytest.LogCaptureFixture) -> None:
    with logged("work", 3, "rows") as advance:
        advance(1)
        advance(2)
    (record,) = log.records
    assert re.match(r"work: done, 3 rows in \d+\.\d s", record.getMessage())
    assert vars(record).items() >= {"step": "work", "amount": 3, "state": "done"}.items()


def test_a_step_that_failed_is_logged_as_an_error(log: pytest.LogCaptureFixture) -> None:
    with pytest.raises(ZeroDivisionError), logged("work", 4, "rows") as advance:
        advance(1)
        raise ZeroDivisionError
    (record,) = log.records
    assert (record.levelname, vars(record)["state"]) == ("ERROR", "failed")
    assert "1 rows (25%)" in record.getMessage()


def test_a_long_step_says_how_far_it_is(
    log: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "_SECONDS_BETWEEN_LINES", 0)
    with logged("work", 4, "rows") as advance:
        advance(1)
    assert [vars(record)["state"] for record in log.records] == ["running", "done"]


def test_a_failed_step_prints_nothing_where_nobody_has_asked_for_logs() -> None:
    program = """
from ubp_platform.progress import logged
try:
    with logged("work", 1, "rows"):
        raise ZeroDivisionError
except ZeroDivisionError:
    pass
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
