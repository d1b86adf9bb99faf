"""What ``ubp`` writes: results on stdout; progress, logs, warnings and errors on stderr."""

import json
import logging
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console, RenderableType

from ubp_platform.home import Home
from ubp_platform.progress import LOG, ProgressFactory, bars, logged

# Tables are made for 80 columns; a narrower terminal breaks their lines, and cuts nothing.
console = Console(width=max(Console().width, 80))
errors = Console(stderr=True)


_ORDINARY = {*vars(logging.makeLogRecord({})), "message", "asctime"}


class _JSONLines(logging.Formatter):
    """A record as one JSON object: time, level, message, and what the record carries besides."""

    def format(self, record: logging.LogRecord) -> str:
        more = {name: value for name, value in vars(record).items() if name not in _ORDINARY}
        entry = {
            "time": f"{self.formatTime(record, '%Y-%m-%dT%H:%M:%S')}.{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "message": record.getMessage(),
        }
        return json.dumps(entry | more)


def say(text: str, wrap: bool = True) -> None:
    """Print a line on stdout as it is.

    Parameters
    ----------
    text : str
    wrap : bool
        Whether it may be broken at the terminal's width; paths and commands are not.
    """
    console.print(text, highlight=False, markup=False, soft_wrap=not wrap)


def show(table: RenderableType) -> None:
    """Print a table on stdout."""
    console.print(table)


def say_next(command: str) -> None:
    """Print what the user would run next."""
    console.print("[bold]Next[/bold]", end=" ")
    say(command, wrap=False)


def say_what_is_next(home: Home) -> None:
    """Print the command that `ubp status` names now."""
    from pipelines.status import what_is_next

    say_next(what_is_next(home))


def report(kind: str, style: str, text: str) -> None:
    """Print an error or a warning on stderr, as one line."""
    line = " ".join(text.split())
    if any(isinstance(formatter, _JSONLines) for formatter in _formatters()):
        LOG.log(logging.ERROR if style == "red" else logging.WARNING, line, extra={"kind": kind})
        return
    errors.print(f"[bold {style}]{kind}:[/bold {style}]", end=" ")
    errors.print(line, markup=False, highlight=False, soft_wrap=True)


def progress() -> ProgressFactory:
    """Return what shows progress: bars on a terminal, otherwise lines in the log."""
    return logged if _formatters() else bars(errors)


def _formatters() -> list[logging.Formatter]:
    """Return how steps are logged at present; empty if they are not."""
    return [handler.formatter for handler in LOG.handlers if handler.formatter]


@contextmanager
def logging_to_stderr(as_json: bool) -> Iterator[None]:
    """Write logs and warnings to stderr while a command runs.

    A terminal gets bars instead of logs, unless JSON lines are asked for.
    """
    before, level, handlers = warnings.showwarning, LOG.level, [*LOG.handlers]
    warnings.showwarning = _show_warning
    if as_json or not errors.is_terminal:
        log_to_stderr(as_json)
    try:
        yield
    finally:
        warnings.showwarning = before
        LOG.handlers, LOG.level = handlers, level


def log_to_stderr(as_json: bool) -> None:
    """Write the log to stderr from now on, unless it is written there by now."""
    if _formatters():
        return
    lines = logging.Formatter("%(asctime)s %(levelname)s %(message)s", "%Y-%m-%dT%H:%M:%SZ")
    formatter = _JSONLines() if as_json else lines
    formatter.converter = time.gmtime
    handler = logging.StreamHandler()
    handler.setFormatter(formatter)
    LOG.addHandler(handler)
    LOG.setLevel(logging.INFO)


def _show_warning(message: Warning | str, *details: Any, **more: Any) -> None:
    report("warning", "yellow", str(message))
