"""Commands about published profiles: looking up, similar clients, training sets."""

import json as json_format
from pathlib import Path
from typing import Annotated

import typer

from pipelines.commands.profiles import PANEL
from pipelines.console.options import (
    AddressOption,
    ClientArgument,
    EngineOption,
    HomeOption,
    ServedOption,
)
from pipelines.console.output import progress, say, show
from ubp_platform.engine.opening import open_engine
from ubp_platform.home import open_home
from ubp_platform.store.fast_import import fast_feast_import

app = typer.Typer()
ByOption = Annotated[
    str | None,
    typer.Option(
        metavar="BLOCK,...", help="Compare these blocks of the profile alone; all by default."
    ),
]


@app.command(rich_help_panel=PANEL)
def profile(
    client_id: ClientArgument,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    home: HomeOption = None,
) -> None:
    """Look up a client's profile: what is unusual about the client, and who is similar."""
    fast_feast_import()
    from pipelines import retrieve
    from pipelines.console.similar import described_client

    found = retrieve.profile(open_home(home), client_id)
    if json:
        print(json_format.dumps(retrieve.as_json(found)))  # noqa: T201
        return
    show(described_client(found))
    if found.why_no_index:
        say(found.why_no_index)


@app.command(rich_help_panel=PANEL)
def similar(
    client_ids: Annotated[
        list[str],
        typer.Argument(metavar="CLIENT...", help="A client; several stand for a segment."),
    ],
    k: Annotated[int, typer.Option("-k", help="How many to find.", min=1, max=1000)] = 10,
    by: ByOption = None,
    filters: Annotated[
        list[str] | None,
        typer.Option(
            "--filter",
            metavar="CONDITION",
            help="Only clients with buy_30d>=2, last_days<30, category=Tables, …; repeatable.",
        ),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    version: ServedOption = None,
    home: HomeOption = None,
) -> None:
    """Find the clients whose profiles are most similar, and what they have in common."""
    fast_feast_import()
    from pipelines import similar as pipeline
    from pipelines.console.similar import show_similar

    chosen = _names(by)
    found = pipeline.similar(open_home(home), client_ids, k, chosen, filters or (), version)
    if json:
        print(json_format.dumps(pipeline.as_json(found)))  # noqa: T201
    else:
        show_similar(found)


@app.command(rich_help_panel=PANEL)
def index(
    by: ByOption = None,
    version: ServedOption = None,
    engine: EngineOption = None,
    address: AddressOption = None,
    home: HomeOption = None,
) -> None:
    """Make the index of similar clients, or bring it up to what is served.

    'ubp publish' does so, too. With --by, a further index is made, and kept up to date from then
    on.
    """
    fast_feast_import()
    from pipelines import index as pipeline
    from pipelines.console.similar import show_index

    workers = open_engine(engine, address)
    show_index(pipeline.index(open_home(home), version, _names(by), progress(), workers))


def _names(by: str | None) -> list[str]:
    return [name.strip() for name in (by or "").split(",") if name.strip()]


@app.command("training-set", rich_help_panel=PANEL)
def training_set(
    entities: Annotated[
        Path, typer.Argument(help="Parquet file with client_id, event_timestamp and any labels.")
    ],
    out: Annotated[Path, typer.Argument(help="The Parquet file to write.")],
    as_served: Annotated[
        bool,
        typer.Option(
            "--as-served", help="Take what lookups returned then; else late events count."
        ),
    ] = False,
    version: ServedOption = None,
    engine: EngineOption = None,
    address: AddressOption = None,
    home: HomeOption = None,
) -> None:
    """Join clients at past times with their profiles as of those times."""
    fast_feast_import()
    from pipelines import retrieve
    from ubp_platform.store.profile_lock import lock_path

    rows, known = retrieve.training_set(
        open_home(home),
        entities,
        out,
        version,
        progress(),
        as_served=as_served,
        engine=open_engine(engine, address),
    )
    say(f"{out}: {rows:,} rows, {known:,} with a profile of their own")
    say(f"{lock_path(out)}: for ProfileStore.from_lock, which opens the same profile", wrap=False)
