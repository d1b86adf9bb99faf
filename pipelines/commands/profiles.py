"""Commands about profiles: fitting, encoding, publishing, looking up."""

import json as json_format
from pathlib import Path
from typing import Annotated

import typer

from pipelines.console.options import (
    AsDeliveredOption,
    ClientArgument,
    HomeOption,
    ModelOption,
    PresetOption,
    ProfileOption,
    ServedOption,
    VersionOption,
)
from pipelines.console.output import progress, say, show
from ubp_platform.home import open_home
from ubp_platform.store.fast_import import fast_feast_import
from ubp_platform.times import parse_time

app = typer.Typer()
PANEL = "Profiles"


@app.command(rich_help_panel=PANEL)
def train(
    blocks: Annotated[
        list[str] | None,
        typer.Argument(
            help="Blocks to fit; the profile keeps its other blocks. All of --profile by default."
        ),
    ] = None,
    cutoff: Annotated[
        str | None,
        typer.Option(
            help="Use only events before this time (UTC); by default all of the complete log."
        ),
    ] = None,
    profile: ProfileOption = "default",
    preset: PresetOption = "small",
    seed: Annotated[int, typer.Option(help="Random seed.", min=0)] = 0,
    skip: Annotated[
        list[str] | None,
        typer.Option(help="A block to leave out, or a pattern such as 'lm_*'; repeatable."),
    ] = None,
    model: ModelOption = None,
    resume: Annotated[
        bool,
        typer.Option("--resume", help="Resume interrupted fits from their last epoch."),
    ] = False,
    as_delivered: AsDeliveredOption = False,
    home: HomeOption = None,
) -> None:
    """Fit blocks and make a profile version of them.

    Ctrl-C ends the current fit and keeps its best epoch; --resume finishes it later.
    """
    from pipelines.console.profiles import show_trained
    from pipelines.train import train

    result = train(
        open_home(home),
        blocks or (),
        cutoff=None if cutoff is None else parse_time(cutoff),
        preset=preset,
        seed=seed,
        progress=progress(),
        profile=profile,
        skip=skip or (),
        model=model,
        resume=resume,
        as_delivered=as_delivered,
    )
    show_trained(result)


@app.command("blocks", rich_help_panel=PANEL)
def list_blocks(
    json: Annotated[bool, typer.Option("--json", help="Print a JSON list.")] = False,
    home: HomeOption = None,
) -> None:
    """List all blocks: what each reads, its width, and its latest fit."""
    from pipelines import blocks as pipeline
    from pipelines.console.profiles import blocks_table

    described = pipeline.blocks(open_home(home))
    if json:
        print(json_format.dumps(described))  # noqa: T201
    else:
        show(blocks_table(described))


@app.command(rich_help_panel=PANEL)
def explain(
    client_id: ClientArgument,
    block: Annotated[
        str | None,
        typer.Option(
            help="Autoencoder to decode, such as gru_ae_all; the most detailed by default."
        ),
    ] = None,
    events: Annotated[int, typer.Option(help="Number of most recent events to show.", min=1)] = 20,
    version: VersionOption = None,
    home: HomeOption = None,
) -> None:
    """Decode a client's vector back into events, beside the true ones."""
    from pipelines import explain as pipeline
    from pipelines.console.profiles import explanation_tables

    found = pipeline.explain(open_home(home), client_id, block, version)
    show(explanation_tables(found, events))


@app.command(rich_help_panel=PANEL)
def encode(
    cutoff: Annotated[
        list[str] | None,
        typer.Option(help="Cutoff time (UTC), past or present; repeatable."),
    ] = None,
    as_delivered: AsDeliveredOption = False,
    version: VersionOption = None,
    home: HomeOption = None,
) -> None:
    """Encode profiles at further cutoffs with the fitted blocks.

    Without a cutoff: the newest instant up to which the log is complete. A cutoff whose events have
    changed gets a new revision; what was served stays.
    """
    from pipelines import encode as pipeline
    from pipelines.console.profiles import show_encoded

    times = [parse_time(text) for text in cutoff or []]
    profile, encoded = pipeline.encode(
        open_home(home), times, version, progress(), as_delivered=as_delivered
    )
    for one in encoded:
        show_encoded(profile, one)


@app.command(rich_help_panel=PANEL)
def publish(version: VersionOption = None, home: HomeOption = None) -> None:
    """Register the profiles with Feast and serve a version online."""
    fast_feast_import()
    from pipelines import publish as pipeline
    from pipelines.console.profiles import show_served

    show_served(pipeline.publish(open_home(home), version, progress()))


@app.command(rich_help_panel=PANEL)
def profile(
    client_id: ClientArgument,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    home: HomeOption = None,
) -> None:
    """Look up a client's profile in the online store."""
    fast_feast_import()
    from pipelines import retrieve
    from pipelines.console.profiles import profile_table

    found, parts = retrieve.profile(open_home(home), client_id)
    if json:
        print(json_format.dumps(retrieve.as_json(found)))  # noqa: T201
    else:
        show(profile_table(found, parts))


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
    home: HomeOption = None,
) -> None:
    """Join clients at past times with their profiles as of those times."""
    fast_feast_import()
    from pipelines import retrieve

    rows, known = retrieve.training_set(
        open_home(home), entities, out, version, progress(), as_served=as_served
    )
    say(f"{out}: {rows:,} rows, {known:,} with a profile of their own")
