"""Commands that look after a home: checking it, removing what is no longer read."""

from pathlib import Path
from typing import Annotated

import typer

from pipelines.console.options import AddressOption, EngineOption, HomeOption
from pipelines.console.output import progress, say, say_what_is_next
from ubp_platform.engine.opening import open_engine
from ubp_platform.files import size
from ubp_platform.home import open_home
from ubp_platform.locks import alone
from ubp_platform.store.fast_import import fast_feast_import

app = typer.Typer()
PANEL = "Upkeep"


@app.command(rich_help_panel=PANEL)
def doctor(
    repair: Annotated[
        bool, typer.Option("--repair", help="Repair what can be repaired without loss.")
    ] = False,
    home: HomeOption = None,
) -> None:
    """Check every file of the home, and the online store against the files.

    Exit code 3 if something is wrong.
    """
    fast_feast_import()
    from pipelines import doctor as pipeline

    findings = pipeline.examine(open_home(home), progress())
    for finding in findings:
        repairs = "repaired" if repair else "`ubp doctor --repair` does that"
        say(finding.problem + f" ({repairs})" * bool(finding.repair), wrap=False)
    left = pipeline.repair(findings) if repair else findings
    if left:
        raise typer.Exit(3)
    say("Everything is as it was written" if not findings else "Repaired")


@app.command(rich_help_panel=PANEL)
def audit(
    clients: Annotated[int, typer.Option(help="Number of clients to look up.", min=1)] = 1000,
    engine: EngineOption = None,
    address: AddressOption = None,
    home: HomeOption = None,
) -> None:
    """Compare served profiles with the events: look clients up, and compute them again.

    Nothing may differ in a single bit. Exit code 3 if something does, or nothing could be computed.
    """
    fast_feast_import()
    from pipelines import audit as pipeline
    from pipelines.console.profiles import show_audit

    found = pipeline.audit(open_home(home), clients, progress(), open_engine(engine, address))
    show_audit(found)
    if found.differences or not found.computed:
        raise typer.Exit(3)


@app.command(rich_help_panel=PANEL)
def compare(
    a: Annotated[
        str, typer.Argument(help="VERSION, CUTOFF or VERSION/CUTOFF; a tag is a version.")
    ],
    b: Annotated[str, typer.Argument(help="The same, of the profiles to compare with A's.")],
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    home: HomeOption = None,
) -> None:
    """Measure how the profiles of B differ from those of A, block by block.

    A version without a cutoff takes the newest that both have, a cutoff alone the served version.
    Exit code 3 if a limit (UBP_COMPARE_…) is crossed.
    """
    from pipelines import compare as pipeline
    from pipelines.console.comparisons import show_comparison

    place = open_home(home)
    found = pipeline.compare(place, a, b, progress())
    if json:
        print(found.model_dump_json())  # noqa: T201
    else:
        show_comparison(found)
        say(f"Picture: {pipeline.record_path(place, found).with_suffix('.png')}", wrap=False)
    if found.crossed:
        raise typer.Exit(3)


@app.command(rich_help_panel=PANEL)
def forget(
    client: Annotated[
        list[str] | None,
        typer.Argument(help="Ids of clients, as the shop writes them.", metavar="[CLIENT_ID]..."),
    ] = None,
    file: Annotated[
        Path | None, typer.Option(help="A list of clients: .npy, .parquet or .csv.")
    ] = None,
    allow_return: Annotated[
        bool, typer.Option("--allow-return", help="Take later deliveries of these clients in.")
    ] = False,
    home: HomeOption = None,
) -> None:
    """Remove clients from everything that the home holds, and from the online store.

    Their rows are refused from now on, of any delivery. Fitted models keep what they learned of
    everybody. Without an id, finishes what was interrupted, and forgets clients again whom a backup
    brought back.
    """
    fast_feast_import()
    from pipelines import forget as pipeline
    from pipelines.console.forgotten import show_forgotten

    place = open_home(home)
    show_forgotten(
        pipeline.forget(place, client or [], file, allow_return=allow_return, progress=progress())
    )
    say_what_is_next(place)


@app.command(rich_help_panel=PANEL)
def prune(
    keep: Annotated[int, typer.Option(help="Newest profile versions to keep.", min=1)] = 2,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only list what would go.")] = False,
    home: HomeOption = None,
) -> None:
    """Remove what nothing reads: old profile versions, publishes, fits, checkpoints, debris.

    The served version stays, tagged ones, and the newest. A model that reads another version by
    name must be counted in with --keep.
    """
    fast_feast_import()
    from pipelines import prune as pipeline

    place = open_home(home)
    with alone(place):
        removals = pipeline.plan(place, keep)
        if not removals:
            say("Nothing to remove")
            return
        before = size(place.root)
        for removal in removals:
            say(f"{removal.what}" + f", {removal.bytes:,} bytes" * bool(removal.bytes), wrap=False)
        if dry_run:
            say(f"{sum(removal.bytes for removal in removals):,} bytes of files would be removed")
            return
        pipeline.prune(place, removals, progress())
    say(f"{max(0, before - size(place.root)):,} bytes removed")
