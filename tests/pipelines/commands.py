"""Running ``ubp`` in this process, as a user would see it."""

import sys
from dataclasses import dataclass

import pytest

import cli


@dataclass(frozen=True)
class Outcome:
    code: int
    out: str
    err: str


def run_ubp(capsys: pytest.CaptureFixture[str], *arguments: object) -> Outcome:
    """Run a command line; the exit code is what the shell would get."""
    before = sys.argv
    sys.argv = ["ubp", *map(str, arguments)]
    # rich keeps the streams it was created with; these follow pytest's.
    cli.terminal = cli.console = cli.Console(width=200)
    cli.errors = cli.Console(stderr=True, width=200)
    capsys.readouterr()
    try:
        cli.main()
        code = 0
    except SystemExit as exit_:
        code = int(exit_.code or 0)
    finally:
        sys.argv = before
    captured = capsys.readouterr()
    return Outcome(code, captured.out, captured.err)
