"""How ``ubp`` ends: what a user reads of an error, and the exit code."""

import re
import sys
import traceback
import warnings
from functools import partial
from typing import Any

import typer
from pydantic import ValidationError
from rich.console import Console

from ubp_platform.errors import UBPError, disk_is_full

_FULL = (
    "the disk is full; what was there is as it was: free some space (or give the temporary files "
    "of TMPDIR another place) and run the same command again"
)


def run(app: typer.Typer, errors: Console) -> None:
    """Run a command line; errors are one line, with exit code 2 where the user can help.

    Parameters
    ----------
    app : typer.Typer
    errors : rich.console.Console
        Where warnings and errors go.
    """
    warnings.showwarning = partial(_show_warning, errors)
    # Wherever it stands, also behind the command.
    arguments = [argument for argument in sys.argv[1:] if argument != "--debug"]
    try:
        sys.exit(app(args=arguments, prog_name="ubp", standalone_mode=False))
    except SystemExit as stop:
        if stop.code == 130:  # Ctrl-C
            _fail(errors, "interrupted", UBPError("what was finished is kept; run it again"), 130)
        raise
    except typer.TyperException as error:
        _explain_usage(errors, error, arguments)
    except Exception as error:
        if disk_is_full(error):
            _fail(errors, "error", UBPError(_FULL), 2)
        _explain(errors, error)


def _explain_usage(errors: Console, error: typer.TyperException, arguments: list[str]) -> None:
    said = error.format_message().rstrip(".")
    if not said:  # `ubp` alone, whose help is printed by now
        sys.exit(error.exit_code)
    if isinstance(error.__cause__, ValidationError):
        # A choice says what there is; else the second half says how pydantic came to think so.
        if "Value error, " in said:
            said = said.replace("Value error, ", "")
        else:
            said = f"{said.split(', ')[0]}, not {error.__cause__.errors()[0]['input']!r}"
    if re.match(r"No such option: -\d", said):
        said += "; write -- before a negative number"
    context = getattr(error, "ctx", None)
    command = context.command_path if context else " ".join(["ubp", *arguments[:1]])
    _fail(
        errors,
        "error",
        UBPError(f"{command}: {said}{' See' if said[-1] == '?' else '; see'} {command} --help"),
        2,
    )


def _explain(errors: Console, error: Exception) -> None:
    if isinstance(error, UBPError):
        _fail(errors, "error", error, 2)
    if isinstance(error, OSError):
        where = f": {error.filename}" if error.filename else ""
        _fail(errors, "error", UBPError(f"{error.strerror or error}{where}"), 2)
    if "Query interrupted" in str(error):  # how DuckDB hands on Ctrl-C
        _fail(errors, "interrupted", UBPError("nothing was changed; run it again"), 130)
    _fail(errors, f"unexpected {type(error).__name__}", error, 1)


def _fail(errors: Console, kind: str, error: Exception, code: int) -> None:
    if "--debug" in sys.argv:
        traceback.print_exc()
    line = " ".join(str(error).split())
    errors.print(f"[bold red]{kind}:[/bold red]", end=" ")
    errors.print(line, markup=False, highlight=False, soft_wrap=True)
    if code == 1 and "--debug" not in sys.argv:
        errors.print(
            "`ubp --debug …` shows where; this is a bug, please report it", highlight=False
        )
    sys.exit(code)


def _show_warning(errors: Console, message: Warning | str, *details: Any, **more: Any) -> None:
    errors.print("[bold yellow]warning:[/bold yellow]", end=" ")
    errors.print(" ".join(str(message).split()), markup=False, highlight=False, soft_wrap=True)
