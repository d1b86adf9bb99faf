"""``ubp``: universal behavioral profiles, from event files to one served vector per client."""

import json as json_format
import signal
from importlib import metadata
from typing import Annotated

if __name__ == "__main__" and signal.getsignal(signal.SIGINT) == signal.default_int_handler:
    # Ctrl-C during the imports ends the program at once, without a traceback.
    signal.signal(signal.SIGINT, signal.SIG_DFL)

import typer

from pipelines.commands import evaluation, events, lookups, profiles, serving, upkeep
from pipelines.console.options import HomeOption
from pipelines.console.output import say, show
from pipelines.console.run import run
from ubp_platform.home import open_home
from ubp_platform.store.fast_import import fast_feast_import

ABOUT = "Universal behavioral profiles, from event files to one served vector per client."
app = typer.Typer(
    help=ABOUT,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="First: ubp ingest SOURCE, ubp train, ubp publish. Then: ubp status shows what is next.",
)


def _version(wanted: bool) -> None:
    if wanted:
        say(f"ubp {metadata.version('ubp-platform')}")
        raise typer.Exit


@app.callback()
def root(
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
    log_json: Annotated[
        bool, typer.Option("--log-json", help="Write logs and errors to stderr as JSON lines.")
    ] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Universal behavioral profiles, from event files to one served vector per client."""


@app.command()
def status(
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    home: HomeOption = None,
) -> None:
    """Show what the home holds, how fresh it is, and what to do next."""
    from pipelines import status as pipeline
    from pipelines.console.status import status_tables

    found = pipeline.status(open_home(home))
    if json:
        print(json_format.dumps(found))  # noqa: T201
    else:
        show(status_tables(found))


@app.command()
def demo(
    simulated: Annotated[
        bool,
        typer.Option("--simulated", help="On a simulated shop, with all event types and blocks."),
    ] = False,
    home: HomeOption = None,
) -> None:
    """Run the whole job on a year of real grocery purchases (extra 'demo')."""
    fast_feast_import()
    from pipelines import demo as pipeline

    place = open_home(home)
    shop = pipeline.simulated(place) if simulated else pipeline.GROCERY
    pipeline.demo(place, shop)


for group in (events, profiles, lookups, evaluation, serving, upkeep):
    app.add_typer(group.app)


def main() -> None:
    """Run ``ubp``; errors are one line on stderr, with exit code 2 where the user can help."""
    if signal.getsignal(signal.SIGINT) == signal.SIG_DFL:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    run(app)


if __name__ == "__main__":
    main()
