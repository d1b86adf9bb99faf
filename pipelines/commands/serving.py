"""Commands that serve profiles over HTTP, and keep the keys."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from pipelines.console.options import HomeOption
from pipelines.console.output import say, say_next, show
from pipelines.console.tables import plain_table, when
from ubp_platform.home import open_home
from ubp_platform.serving.keys import NO_KEY_LEFT, RATE, SCOPES, Keys, create_key, revoke_key
from ubp_platform.store.fast_import import fast_feast_import

app = typer.Typer()
PANEL = "Serving"
key = typer.Typer(help="Make, list and revoke keys for 'ubp serve'.", no_args_is_help=True)
app.add_typer(key, name="key", rich_help_panel=PANEL)


@app.command(rich_help_panel=PANEL)
def serve(
    host: Annotated[
        str, typer.Option(help="Address to listen on; others than loopback demand keys.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on.", min=1, max=65535)] = 8000,
    workers: Annotated[int, typer.Option(help="Processes that answer.", min=1, max=256)] = 1,
    certificate: Annotated[
        Path | None, typer.Option(help="Certificate for TLS, with its chain: a PEM file.")
    ] = None,
    private_key: Annotated[
        Path | None, typer.Option("--private-key", help="Its private key: a PEM file.")
    ] = None,
    log_ids: Annotated[
        bool, typer.Option("--log-ids", help="Write whole paths to the log, with ids of clients.")
    ] = False,
    home: HomeOption = None,
) -> None:
    """Serve profiles over HTTP, until Ctrl-C.

    'GET /v1/profiles/CLIENT_ID' answers with JSON, or with numbers or Arrow if asked to; '/docs'
    lists all paths. A publish is seen at once, without a restart.
    """
    fast_feast_import()
    from pipelines import serve as pipeline

    place = open_home(home)
    address = pipeline.Address(host, port, certificate, private_key)
    notes = pipeline.check(place, address)
    say(f"Serving {place.root} at {address.url}, its paths at {address.url}/docs", wrap=False)
    for note in notes:
        say(note)
    as_json = "--log-json" in sys.argv
    pipeline.serve(place, address, workers, log_ids=log_ids, log_json=as_json)


@key.command("create")
def create(
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="Whose key it is, such as 'recommender'.")
    ],
    scope: Annotated[
        list[str] | None,
        typer.Option(help=f"What it may do: {' or '.join(SCOPES)}; repeatable. All by default."),
    ] = None,
    rate: Annotated[int, typer.Option(help="Requests that it may make per second.", min=1)] = RATE,
    home: HomeOption = None,
) -> None:
    """Make a key, and show it: this once only."""
    secret = create_key(open_home(home), name, scope or SCOPES, rate)
    say(secret, wrap=False)
    say("It is not kept, and cannot be shown again")
    header, scopes = f'curl -H "Authorization: Bearer {secret}" URL', scope or SCOPES
    if "read" in scopes:
        say_next(f"{header}/v1/profiles/CLIENT_ID")
    elif "similar" in scopes:
        say_next(f"{header}/v1/clients/CLIENT_ID/similar")
    else:
        say_next("open URL/login in a browser, and enter it there")


@key.command("list")
def list_keys(home: HomeOption = None) -> None:
    """List the keys that have not been revoked."""
    place = open_home(home)
    place.require()
    keys = Keys.read(place).keys
    if not keys:
        say("There is no key")
        return
    table = plain_table("Keys", ["name", "scopes", "a second", "made"], numbers=["a second"])
    for one in keys:
        table.add_row(one.name, ", ".join(one.scopes), f"{one.rate:,}", when(one.created_at))
    show(table)


@key.command("revoke")
def revoke(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The name of the key.")],
    home: HomeOption = None,
) -> None:
    """Revoke a key; running servers know it at once."""
    left = revoke_key(open_home(home), name)
    say(f"The key {name} is not accepted any more")
    if not left:
        say(f"It was the last one, so that nobody is answered: {NO_KEY_LEFT}")
