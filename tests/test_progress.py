"""What a progress bar leaves behind, on a terminal and in a file."""

import io
import re

import pytest
from rich.console import Console

from ubp_platform.progress import bars


@pytest.fixture(params=[True, False], ids=["terminal", "file"])
def console(request: pytest.FixtureRequest) -> Console:
    return Console(file=io.StringIO(), force_terminal=request.param, width=120)


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
