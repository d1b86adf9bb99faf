"""Commands about profiles: fitting, encoding, publishing."""

import json as json_format
from datetime import UTC, datetime, timedelta
from typing import Annotated

import typer

from pipelines.console.options import (
    AddressOption,
    AsDeliveredOption,
    ClientArgument,
    EngineOption,
    HomeOption,
    ModelOption,
    PresetOption,
    ProfileOption,
    VersionOption,
)
from pipelines.console.output import progress, say, say_next, say_what_is_next, show
from ubp_platform.engine.opening import open_engine
from ubp_platform.errors import UBPError
from ubp_platform.home import open_home
from ubp_platform.profile.listing import get_version
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
    refit_forgotten: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            help="Fit blocks again that may know N clients or more who have been forgotten since.",
            min=1,
        ),
    ] = None,
    clients_sample: Annotated[
        int | None,
        typer.Option(
            metavar="N", help="Learn from N clients, drawn with the seed; profile all.", min=1
        ),
    ] = None,
    align_to: Annotated[
        str | None,
        typer.Option(
            metavar="VERSION", help="Then map the new version into the space of this one."
        ),
    ] = None,
    engine: EngineOption = None,
    address: AddressOption = None,
    home: HomeOption = None,
) -> None:
    """Fit blocks and make a profile version of them.

    Ctrl-C ends the current fit and keeps its best epoch; --resume finishes it later.
    """
    from pipelines.align import align
    from pipelines.console.profiles import show_aligned, show_trained
    from pipelines.train import train

    place = open_home(home)
    if align_to:
        get_version(place, align_to)
    result = train(
        place,
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
        refit_forgotten=refit_forgotten,
        engine=open_engine(engine, address),
        clients_sample=clients_sample,
    )
    show_trained(result)
    if align_to:
        show_aligned(align(place, align_to, result.profile.name, progress()))
    say_what_is_next(place)


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
    engine: EngineOption = None,
    address: AddressOption = None,
    home: HomeOption = None,
) -> None:
    """Encode profiles at further cutoffs with the fitted blocks.

    Without a cutoff: the newest instant up to which the log is complete. A cutoff whose events have
    changed gets a new revision; what was served stays.
    """
    from pipelines import encode as pipeline
    from pipelines.console.profiles import show_encoded

    times, place = [parse_time(text) for text in cutoff or []], open_home(home)
    _, encoded = pipeline.encode(
        place,
        times,
        version,
        progress(),
        as_delivered=as_delivered,
        engine=open_engine(engine, address),
    )
    for one in encoded:
        show_encoded(one)
    say_what_is_next(place)


@app.command(rich_help_panel=PANEL)
def refresh(
    cutoff: Annotated[
        str | None,
        typer.Option(help="As of this time (UTC); by default all of the complete log."),
    ] = None,
    max_age: Annotated[
        float, typer.Option(help="Days after which a profile is encoded again in any case.")
    ] = 7,
    version: VersionOption = None,
    engine: EngineOption = None,
    address: AddressOption = None,
    home: HomeOption = None,
) -> None:
    """Take a delivery in: encode the clients of whom something new is known.

    The others keep their profiles, with the cutoff of these.
    """
    from pipelines import refresh as pipeline
    from pipelines.console.profiles import show_refreshed

    time, age = parse_time(cutoff) if cutoff else None, timedelta(days=max_age)
    place = open_home(home)
    workers = open_engine(engine, address)
    show_refreshed(pipeline.refresh(place, version, time, age, progress(), workers))
    say_what_is_next(place)


@app.command(rich_help_panel=PANEL)
def align(
    version: Annotated[
        str | None, typer.Argument(help="The profile version to map; the newest by default.")
    ] = None,
    to: Annotated[
        str, typer.Option("--to", help="The version that downstream models were fitted on.")
    ] = ...,  # type: ignore[assignment]
    home: HomeOption = None,
) -> None:
    """Map a version's profiles into the space of an older one, for its downstream models.

    The result is a version of its own, such as v2@v1. 'ubp encode' and 'ubp publish' of v2 write
    it, too.
    """
    from pipelines import align as pipeline
    from pipelines.console.profiles import show_aligned

    made = pipeline.align(open_home(home), to, version, progress())
    show_aligned(made)
    say_next(f"ubp publish --profile-version {made.name.partition('@')[0]}")


@app.command(rich_help_panel=PANEL)
def publish(
    everybody: Annotated[
        bool, typer.Option("--all", help="Write all profiles again; repairs the online store.")
    ] = False,
    if_healthy: Annotated[
        bool,
        typer.Option(
            "--if-healthy", help="Only if they differ from what is served by no more than allowed."
        ),
    ] = False,
    version: VersionOption = None,
    engine: EngineOption = None,
    address: AddressOption = None,
    home: HomeOption = None,
) -> None:
    """Register the profiles with Feast and serve a version online.

    Only profiles that have changed are written, and then the index of similar clients is brought up
    to date. With --if-healthy, exit code 3 if nothing was.
    """
    fast_feast_import()
    from pipelines import index
    from pipelines import publish as pipeline
    from pipelines.compare import Unhealthy, comparisons
    from pipelines.console.comparisons import show_healthy, show_unhealthy
    from pipelines.console.profiles import show_served
    from pipelines.console.similar import show_index

    place, start, workers = open_home(home), datetime.now(UTC), open_engine(engine, address)
    try:
        served = pipeline.publish(place, version, progress(), everybody, if_healthy, workers)
    except Unhealthy as stop:
        show_unhealthy(stop.found)
        raise typer.Exit(3) from None
    if if_healthy:
        show_healthy([found for found in comparisons(place) if found.made_at > start])
    show_served(served)
    show_index(index.index(place, served.version, progress=progress(), engine=workers))
    say_what_is_next(place)


@app.command(rich_help_panel=PANEL)
def rollback(
    version: Annotated[str, typer.Argument(help="A profile version that is online, or a tag.")],
    home: HomeOption = None,
) -> None:
    """Serve an earlier version again, at once: its profiles are still online."""
    fast_feast_import()
    from pipelines import versions as pipeline
    from pipelines.console.profiles import show_served

    show_served(pipeline.rollback(open_home(home), version))


@app.command(rich_help_panel=PANEL)
def tag(
    version: Annotated[
        str | None, typer.Argument(help="A profile version, such as v2; lists tags by default.")
    ] = None,
    name: Annotated[str | None, typer.Argument(help="The tag, such as 'production'.")] = None,
    remove: Annotated[str | None, typer.Option(metavar="TAG", help="Remove this tag.")] = None,
    home: HomeOption = None,
) -> None:
    """Name a profile version, so that others can ask for it by that name.

    A tag can be used wherever a version is named. Tagged versions are never pruned.
    """
    from pipelines import versions as pipeline
    from ubp_platform.profile.tags import read_tags

    place = open_home(home)
    if remove:
        pipeline.untag(place, remove)
    elif version and name:
        found, before = pipeline.tag(place, version, name)
        say(f"{name}: {found}" + f", {before} until now" * (before not in ("", found)))
        return
    elif version:
        raise UBPError(f"how is {version} to be called? `ubp tag {version} production`")
    for one, tagged in read_tags(place).items():
        say(f"{one}: {tagged}")
