"""Commands about events: layouts, deliveries, the warehouse, the clients to profile."""

import json as json_format
from pathlib import Path
from typing import Annotated

import typer

from pipelines.console.options import HomeOption
from pipelines.console.output import progress, say, say_next, say_what_is_next, show
from ubp_platform.choices import LogName
from ubp_platform.errors import UBPError
from ubp_platform.home import open_home
from ubp_platform.layouts import MAX_QUARANTINE
from ubp_platform.simulation.shop import MAX_DAYS
from ubp_platform.store.fast_import import fast_feast_import
from ubp_platform.times import parse_time

app = typer.Typer()
PANEL = "Events"


@app.command(rich_help_panel=PANEL)
def init(
    source: Annotated[Path, typer.Argument(help="A file or a directory tree.")],
    layout: Annotated[
        Path, typer.Option(help="Output directory for the layout; must be new or empty.")
    ] = Path("layout"),
) -> None:
    """Inspect files in an unknown format and draft a layout to edit.

    Shows the files and columns, and guesses which column is the client, the time, the
    product and the event type. What cannot be guessed is marked in the layout.
    """
    from pipelines import init as pipeline
    from pipelines.console.deliveries import show_draft

    show_draft(source, pipeline.init(source, layout))


@app.command(rich_help_panel=PANEL)
def layouts() -> None:
    """List the built-in layouts: the file formats that 'ubp ingest' knows."""
    from pipelines.console.deliveries import show_layouts
    from ubp_platform.layouts.description import shipped

    show_layouts(shipped().values())


@app.command(rich_help_panel=PANEL)
def simulate(
    directory: Annotated[
        Path, typer.Argument(metavar="DIR", help="Output directory; created if missing.")
    ],
    clients: Annotated[
        int | None, typer.Option(help="Number of clients; 3000 by default.", min=1)
    ] = None,
    days: Annotated[
        int | None, typer.Option(help="Number of days; 100 by default.", min=1, max=MAX_DAYS)
    ] = None,
    seed: Annotated[int, typer.Option(help="Random seed.", min=0)] = 0,
    like: Annotated[
        LogName | None, typer.Option(help="'challenge' simulates a log of the challenge's size.")
    ] = None,
    scale: Annotated[float | None, typer.Option(help="Fraction of that log, such as 0.01.")] = None,
) -> None:
    """Write the event log of a simulated shop, for 'ubp ingest DIR'.

    Writes all five event types and the product properties as Parquet files in
    the layout 'challenge', on average 85 events per client in 100 days. With
    '--like challenge': 176 million events of 18 million clients (2.7 GB, 3 to 6
    minutes) and a list of the relevant clients; --scale 0.1 writes a tenth of
    that. The log ends on 27 November 2022 (UTC). The same options write the same
    files.
    """
    from pipelines.console.deliveries import show_simulated
    from ubp_platform.simulation import challenge as simulated_challenge
    from ubp_platform.simulation import simulator

    plan = simulated_challenge.plan(like, scale, clients, days)
    files = simulator.simulate(directory, **vars(plan), seed=seed, progress=progress())
    show_simulated(directory, files)


@app.command(rich_help_panel=PANEL)
def ingest(
    source: Annotated[
        str,
        typer.Argument(
            help="A file or a directory tree; 'completejourney' for the data of that package.",
        ),
    ],
    layout: Annotated[
        str | None,
        typer.Option(help="A layout's name or directory; recognised from the files by default."),
    ] = None,
    max_quarantine: Annotated[
        float, typer.Option(help="Reject the batch if a table has a larger share of bad rows.")
    ] = MAX_QUARANTINE,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Stage, check and preview the delivery; land nothing.")
    ] = False,
    replace: Annotated[
        int | None, typer.Option(help="Revert this batch and land the delivery in its place.")
    ] = None,
    delivered_at: Annotated[
        str | None,
        typer.Option(metavar="TIME", help="When the delivery became known; now by default."),
    ] = None,
    complete_until: Annotated[
        str | None,
        typer.Option(
            metavar="TIME",
            help="The log is complete until then; by default until the last certain midnight.",
        ),
    ] = None,
    home: HomeOption = None,
) -> None:
    """Check event files and land them in the warehouse as one batch.

    SOURCE is a file or a directory tree. Its layout is recognised from the names of files and
    columns; 'ubp layouts' lists the built-in layouts, and 'ubp init' drafts a new one.
    """
    from pipelines import dry_run as rehearsal
    from pipelines import ingest as pipeline
    from pipelines.console.deliveries import show_dry_run, show_ingested

    times = [parse_time(time) if time else None for time in (delivered_at, complete_until)]
    if dry_run:
        if replace:
            raise UBPError("--dry-run lands nothing: leave out --replace")
        found = rehearsal.dry_run(source, layout, max_quarantine, progress(), *times)
        show_dry_run(found)
        raise typer.Exit(2 if found.rejected else 0)
    result = pipeline.ingest(
        open_home(home), source, layout, max_quarantine, progress(), replace, *times
    )
    show_ingested(result)
    say_next(result.next)


@app.command(rich_help_panel=PANEL)
def batches(
    json: Annotated[bool, typer.Option("--json", help="Print a JSON list.")] = False,
    home: HomeOption = None,
) -> None:
    """List the deliveries: when each landed, when it became known, and its rows."""
    from pipelines.console.deliveries import batches_table
    from pipelines.status import batches as described

    found = described(open_home(home))
    if json:
        print(json_format.dumps(found))  # noqa: T201
    else:
        show(batches_table(found))


@app.command(rich_help_panel=PANEL)
def revert(
    batch: Annotated[int, typer.Argument(help="The batch number; 'ubp batches' lists them.")],
    home: HomeOption = None,
) -> None:
    """Revert a batch: remove its rows from the warehouse.

    Existing profiles stay as they are, but for those of later times than the log is complete until
    then, if they were never served. 'ubp status' shows what to do next.
    """
    fast_feast_import()
    from pipelines import revert as pipeline

    place = open_home(home)
    done = pipeline.revert(place, batch)
    rows = ", ".join(f"{count:,} of {table}" for table, count in done.lost.items()) or "no rows"
    say(f"Batch {batch} reverted: {rows}")
    for path in done.discarded:
        say(f"Removed, because it was never served and the log ends before: {path}", wrap=False)
    if done.again:
        files = ", ".join(done.again)
        say(f"Ingest these files again, they may hold the same rows: {files}", wrap=False)
    say_what_is_next(place)


@app.command(rich_help_panel=PANEL)
def quarantine(
    batch: Annotated[
        int | None, typer.Option(help="Only this batch; all batches by default.")
    ] = None,
    rows: Annotated[int, typer.Option(help="Number of rows to show.", min=1)] = 20,
    clear: Annotated[
        bool, typer.Option("--clear", help="Delete these rows from the quarantine.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="Print a JSON list.")] = False,
    home: HomeOption = None,
) -> None:
    """Show quarantined rows: where they came from, and which rule they broke."""
    from pipelines import quarantine as pipeline
    from pipelines.console.deliveries import show_quarantine

    if clear:
        count = pipeline.clear(open_home(home), batch)
        say(f"{count:,} rows are no longer in quarantine")
        return
    found = pipeline.quarantine(open_home(home), batch, rows)
    if json:
        print(json_format.dumps(found.rows))  # noqa: T201
    else:
        show_quarantine(found)


@app.command(rich_help_panel=PANEL)
def clients(
    file: Annotated[
        Path | None,
        typer.Argument(metavar="FILE", help="List of clients: .npy, .parquet or .csv."),
    ] = None,
    everybody: Annotated[bool, typer.Option("--all", help="Profile all clients again.")] = False,
    home: HomeOption = None,
) -> None:
    """Restrict profiles to some clients: blocks are fitted on these and encode only these.

    Vocabularies and popularity still count all clients. Without an argument, shows
    the current list's size. Existing profiles stay until the next 'ubp train',
    'ubp encode' and 'ubp publish'; clients who leave the list keep their last one.
    """
    from pipelines import clients as pipeline
    from pipelines.console.deliveries import show_relevant

    show_relevant(pipeline.relevant_clients(open_home(home), file, everybody))


@app.command(rich_help_panel=PANEL)
def lake(
    bucket_clients: Annotated[
        int | None,
        typer.Option(
            metavar="N", help="About how many clients a bucket has; 65536 at first.", min=1
        ),
    ] = None,
    anew: Annotated[
        bool, typer.Option("--anew", help="Write all of it, whatever is there.")
    ] = False,
    home: HomeOption = None,
) -> None:
    """Write the events into buckets of clients, which a Ray cluster reads.

    It lies in the home, or where UBP_LAKE says. What has landed since is added. Commands with
    --engine ray do so themselves.
    """
    from pipelines import lake as pipeline
    from pipelines.console.deliveries import show_lake

    found = pipeline.lake(open_home(home), progress(), bucket_clients=bucket_clients, anew=anew)
    show_lake(found)
