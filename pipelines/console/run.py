"""Running ``ubp``: flags that stand anywhere, errors as one line, exit codes."""

import os
import re
import sys
import traceback

import typer
from pydantic import ValidationError

from pipelines.console import output
from ubp_platform.errors import UBPError, disk_is_full
from ubp_platform.settings import Settings

_FULL = (
    "the disk is full; nothing was changed: free some space (or set TMPDIR to another place for "
    "temporary files) and run the same command again"
)
_INTERRUPTED = "nothing is left half done: run the same command again"
_FLAGS = ("--debug", "--log-json")
# Help is shown even if the settings are invalid.
_HELP = {"--help", "-h", "--version"}


def run(app: typer.Typer) -> None:
    """Run a command line; errors are one line, with exit code 2 where the user can help."""
    # Wherever they stand, also behind the command.
    arguments = [argument for argument in sys.argv[1:] if argument not in _FLAGS]
    with output.logging_to_stderr(as_json="--log-json" in sys.argv):
        try:
            if not _HELP & {*arguments}:
                _limit_threads()
            sys.exit(app(args=arguments, prog_name="ubp", standalone_mode=False))
        except SystemExit as stop:
            if stop.code == 130:  # Ctrl-C
                _fail("interrupted", UBPError(_INTERRUPTED), 130)
            raise
        except typer.TyperException as error:
            _explain_usage(error, arguments)
        except Exception as error:
            if disk_is_full(error):
                _fail("error", UBPError(_FULL), 2)
            _explain(error)


def _limit_threads() -> None:
    """Set what numerical libraries read when a command loads them."""
    # Threads that wait must not spin: on a busy machine they would block the one they wait for.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    if threads := Settings.load().threads:
        os.environ["OMP_NUM_THREADS"] = str(threads)


def _explain_usage(error: typer.TyperException, arguments: list[str]) -> None:
    message = error.format_message().rstrip(".")
    if not message:  # `ubp` alone, whose help is printed by now
        sys.exit(error.exit_code)
    if isinstance(error.__cause__, ValidationError):
        # A choice says what there is; else the second half says how pydantic came to think so.
        if "Value error, " in message:
            message = message.replace("Value error, ", "")
        else:
            message = f"{message.split(', ')[0]}, not {error.__cause__.errors()[0]['input']!r}"
    if re.match(r"No such option: -\d", message):
        message += "; write -- before a negative number"
    context = getattr(error, "ctx", None)
    command = context.command_path if context else " ".join(["ubp", *arguments[:1]])
    see = " See" if message[-1] == "?" else "; see"
    _fail("error", UBPError(f"{command}: {message}{see} {command} --help"), 2)


def _explain(error: Exception) -> None:
    if isinstance(error, UBPError):
        _fail("error", error, 2)
    if isinstance(error, OSError):
        where = f": {error.filename}" if error.filename else ""
        _fail("error", UBPError(f"{error.strerror or error}{where}"), 2)
    if "Query interrupted" in str(error):  # how DuckDB hands on Ctrl-C
        _fail("interrupted", UBPError(_INTERRUPTED), 130)
    _fail(f"unexpected {type(error).__name__}", error, 1)


def _fail(kind: str, error: Exception, code: int) -> None:
    if "--debug" in sys.argv:
        traceback.print_exc()
    text = str(error)
    if code == 1 and "--debug" not in sys.argv:
        text += " (a bug: please report it; `ubp --debug …` shows where)"
    output.report(kind, "red", text)
    sys.exit(code)
