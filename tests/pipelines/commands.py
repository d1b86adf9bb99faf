"""Running ``ubp`` in this process, as a user would see it."""

import re
import sys
from dataclasses import dataclass

import pytest
from rich.console import Console

import cli
from pipelines.console import output

#: What a step leaves on stderr where that is no terminal.
LOGGED = re.compile(r"[\d-]{10}T[\d:]{8}Z (INFO|ERROR) ")


@dataclass(frozen=True)
class Outcome:
    code: int
    out: str
    err: str
    log: list[str]


def run_ubp(capsys: pytest.CaptureFixture[str], *arguments: object) -> Outcome:
    """Run a command line; the exit code is what the shell would get."""
    before = sys.argv
    sys.argv = ["ubp", *map(str, arguments)]
    # rich keeps the streams it was created with; these follow pytest's.
    output.console = Console(width=200)
    output.errors = Console(stderr=True, width=200)
    capsys.readouterr()
    try:
        cli.main()
        code = 0
    except SystemExit as exit_:
        code = int(exit_.code or 0)
    finally:
        sys.argv = before
    captured = capsys.readouterr()
    lines = captured.err.splitlines(keepends=True)
    log = [line for line in lines if LOGGED.match(line)]
    return Outcome(code, captured.out, "".join(line for line in lines if line not in log), log)
