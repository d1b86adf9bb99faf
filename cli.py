"""``ubp``: universal behavioral profiles, from event files to one served vector per client."""

import json as json_format
import os
from importlib import metadata
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from pipelines.console.options import (
    DEFAULT_HOME,
    BlocksOption,
    ClassesOption,
    ClientArgument,
    HomeOption,
    ModelOption,
    PresetOption,
    ProfileOption,
    ServedOption,
    VersionOption,
    listed,
)
from pipelines.console.run import run
from ubp_platform.choices import ExportFormat, LogName, NetworkName, ProtocolName
from ubp_platform.errors import UBPError
from ubp_platform.files import write_whole
from ubp_platform.home import open_home
from ubp_platform.layouts import MAX_QUARANTINE
from ubp_platform.progress import bars
from ubp_platform.simulation.shop import MAX_DAYS
from ubp_platform.times import parse_time

# Threads that wait must not spin: on a busy machine they would take the core from the one they wait
# for. Read when torch and scikit-learn are loaded, which the commands do.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

app = typer.Typer(
    help="Universal behavioral profiles, from event files to one served vector per client.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="A day's work: ubp ingest SOURCE, ubp train, ubp publish; ubp status says what is next.",
)
terminal = Console()
# Tables are made for 80 columns; a narrower terminal breaks their lines, and cuts nothing.
console = Console(width=max(terminal.width, 80))
errors = Console(stderr=True)


def _version(wanted: bool) -> None:
    if wanted:
        console.print(f"ubp {metadata.version('ubp-platform')}", highlight=False)
        raise typer.Exit


@app.callback()
def root(
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Universal behavioral profiles, from event files to one served vector per client."""


@app.command()
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
        int | None, typer.Option(help="Retract this batch and land the delivery in its place.")
    ] = None,
    home: HomeOption = DEFAULT_HOME,
) -> None:
    """Check event files and land them in the warehouse as one batch.

    SOURCE is a file, a folder or a tree. Which layout it is in is recognised from names of files
    and columns; 'ubp layouts' lists the layouts, and docs/how-to/ingest.md says how to write one.
    """
    from pipelines import dry_run as rehearsal
    from pipelines import ingest as pipeline
    from pipelines.console.tables import show_ingested

    if dry_run:
        if replace is not None:
            raise UBPError("--dry-run lands nothing, so that --replace has nothing to do")
        found = rehearsal.dry_run(source, layout, max_quarantine, bars(terminal))
        rehearsal.show(console, found)
        raise typer.Exit(2 if found.rejected else 0)
    result = pipeline.ingest(
        open_home(home), source, layout, max_quarantine, bars(terminal), replace
    )
    show_ingested(console, result)
    console.print("[bold]Next[/bold]", end=" ")
    console.print(result.next, highlight=False, markup=False)


@app.command()
def retract(
    batch: Annotated[int, typer.Argument(help="The batch number; 'ubp status' lists them.")],
    home: HomeOption = DEFAULT_HOME,
) -> None:
    """Retract a batch: its rows leave the warehouse.

    Profiles that are there stay as they are; 'ubp status' says what is next.
    """
    from pipelines import ingest as pipeline

    lost, again = pipeline.retract(open_home(home), batch)
    rows = ", ".join(f"{count:,} of {table}" for table, count in lost.items()) or "no rows"
    console.print(f"Batch {batch} taken back: {rows}", highlight=False, markup=False)
    if again:
        files = ", ".join(again)
        console.print(
            f"what it had may have come in these, too: deliver them again: {files}",
            highlight=False,
            markup=False,
        )


@app.command()
def quarantine(
    batch: Annotated[
        int | None, typer.Option(help="Only this batch; all batches by default.")
    ] = None,
    rows: Annotated[int, typer.Option(help="Number of rows to show.", min=1)] = 20,
    clear: Annotated[
        bool, typer.Option("--clear", help="Delete these rows from the quarantine.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="Print a JSON list.")] = False,
    home: HomeOption = DEFAULT_HOME,
) -> None:
    """Show quarantined rows: where they came from, and which rule they broke."""
    from pipelines import quarantine as pipeline

    if clear:
        count = pipeline.clear(open_home(home), batch)
        console.print(f"{count:,} rows are no longer in quarantine", highlight=False)
        return
    found = pipeline.quarantine(open_home(home), batch, rows)
    if json:
        print(json_format.dumps(found.rows))  # noqa: T201
    else:
        pipeline.show(console, found)


@app.command()
def init(
    source: Annotated[Path, typer.Argument(help="A file or a directory tree.")],
    layout: Annotated[
        Path, typer.Option(help="Output directory for the layout; must be new or empty.")
    ] = Path("layout"),
) -> None:
    """Inspect files in an unknown format and draft a layout to edit.

    Says what it sees: files, columns, and guesses which is the client, the time, the
    product and the kind of event. The layout runs as far as the guesses carry.
    """
    from pipelines import init as pipeline

    pipeline.show(console, source, pipeline.init(source, layout))


@app.command()
def layouts() -> None:
    """List the built-in layouts: the file formats that 'ubp ingest' knows."""
    from pipelines.console.tables import show_layouts
    from ubp_platform.layouts.description import shipped

    show_layouts(console, shipped().values())


@app.command()
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

    All five event types and the product properties, as Parquet files in the
    layout 'challenge': in 100 days about 85 events a client, on average. With
    '--like challenge' 176 million events of 18 million clients (2.7 GB, written
    in 3 to 6 minutes), and a list of the relevant ones; --scale 0.1 a tenth of
    that. The log ends with 27 November 2022 (UTC). The same numbers give the same
    files.
    """
    from pipelines.console.tables import show_simulated
    from ubp_platform.simulation import challenge as simulated_challenge
    from ubp_platform.simulation import simulator

    plan = simulated_challenge.plan(like, scale, clients, days)
    files = simulator.simulate(directory, **vars(plan), seed=seed, progress=bars(terminal))
    show_simulated(console, directory, files)


@app.command()
def clients(
    file: Annotated[
        Path | None,
        typer.Argument(metavar="FILE", help="List of clients: .npy, .parquet or .csv."),
    ] = None,
    everybody: Annotated[bool, typer.Option("--all", help="Profile all clients again.")] = False,
    home: HomeOption = DEFAULT_HOME,
) -> None:
    """Restrict profiles to some clients: blocks are fitted on these and encode only these.

    Vocabularies and popularity still count all clients. Without an argument it
    tells how many they are. What was made before stays until the next 'ubp train',
    'ubp encode' and 'ubp publish'; who leaves the list keeps the last profile.
    """
    from pipelines import clients as pipeline

    pipeline.show_relevant(console, pipeline.relevant_clients(open_home(home), file, everybody))


@app.command()
def train(
    blocks: Annotated[
        list[str] | None,
        typer.Argument(
            help="Blocks to fit; the profile keeps its other blocks. All of --profile by default."
        ),
    ] = None,
    cutoff: Annotated[
        str | None,
        typer.Option(help="Use only events before this time (UTC); all events by default."),
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
    home: HomeOption = DEFAULT_HOME,
) -> None:
    """Fit blocks and make a profile version of them.

    Ctrl-C ends the fit at hand and keeps its best epoch; the same command with --resume goes on.
    """
    from pipelines import train as pipeline
    from pipelines.console.tables import show_trained

    result = pipeline.train(
        *(
            open_home(home),
            blocks or (),
            None if cutoff is None else parse_time(cutoff),
            preset,
            seed,
        ),
        bars(terminal),
        profile=profile,
        skip=skip or (),
        model=model,
        resume=resume,
    )
    show_trained(console, result)


@app.command("blocks")
def list_blocks(
    json: Annotated[bool, typer.Option("--json", help="Print a JSON list.")] = False,
    home: HomeOption = DEFAULT_HOME,
) -> None:
    """List all blocks: what each reads, its width, and its latest fit."""
    from pipelines import blocks as pipeline
    from pipelines.console.tables import blocks_table

    described = pipeline.blocks(open_home(home))
    if json:
        print(json_format.dumps(described))  # noqa: T201
    else:
        console.print(blocks_table(described))


@app.command()
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
    home: HomeOption = DEFAULT_HOME,
) -> None:
    """Decode a client's vector back into events, beside the true ones."""
    from pipelines import explain as pipeline
    from pipelines.console.tables import explanation_tables

    found = pipeline.explain(open_home(home), client_id, block, version)
    console.print(explanation_tables(found, events))


@app.command()
def evaluate(
    blocks: BlocksOption = None,
    tasks: Annotated[
        list[str] | None, typer.Option(help="Comma-separated tasks; all by default.")
    ] = None,
    protocol: Annotated[
        ProtocolName,
        typer.Option(
            help="'holdout': the train window chooses; 'challenge': as its own program does."
        ),
    ] = "holdout",
    heads: Annotated[
        list[str] | None,
        typer.Option(help="Comma-separated heads: network, logistic, boosting; all by default."),
    ] = None,
    network: Annotated[
        NetworkName,
        typer.Option(help="Network head: 'small' for a CPU, 'paper' for the challenge's own size."),
    ] = "small",
    labels: Annotated[
        list[str] | None,
        typer.Option(help="Label budgets, such as 100,300; 'all' for all labels only."),
    ] = None,
    seeds: Annotated[
        int, typer.Option(help="Seeds per head; use several to tell differences from noise.", min=1)
    ] = 1,
    block_seeds: Annotated[
        int,
        typer.Option(
            help="Seeds per block fit; shows how much a profile depends on chance.", min=1
        ),
    ] = 1,
    json: Annotated[
        Path | None, typer.Option("--json", help="Also write all results to this file.")
    ] = None,
    clients: Annotated[
        Path | None,
        typer.Option(
            help="Clients to evaluate: .npy, .parquet or .csv; all in the input by default."
        ),
    ] = None,
    classes: ClassesOption = None,
    embeddings: Annotated[
        Path | None,
        typer.Option(
            help="Score the embeddings in DIR (client_ids.npy, embeddings.npy); fit nothing."
        ),
    ] = None,
    profile: ProfileOption = "default",
    preset: PresetOption = "small",
    model: ModelOption = None,
    home: HomeOption = DEFAULT_HOME,
) -> None:
    """Score the profile on the six tasks of RecSys Challenge 2025.

    Makes the profile from all but the last four weeks, predicts with it what happens in these, and
    compares it with each block alone, with itself without each block, and with what needs no
    learning. Blocks and scores that are there are used again. Ends with a report to look at.
    """
    from pipelines import evaluate as pipeline
    from pipelines.console.score_tables import show_evaluation

    if json and (json.is_dir() or not json.resolve().parent.is_dir()):
        raise UBPError(f"--json: {json} must be a file, in a directory that exists")
    place = open_home(home)
    found = pipeline.evaluate(
        *(place, listed(blocks), listed(tasks), network, seeds, bars(terminal)),
        profile=profile,
        protocol=protocol,
        heads=listed(heads),
        labels=listed(labels),
        block_seeds=block_seeds,
        preset=preset,
        model=model,
        clients=clients,
        classes=classes,
        embeddings=embeddings,
    )
    show_evaluation(console, found)
    console.print(f"Report: {place.report}", highlight=False, soft_wrap=True, markup=False)
    if json:
        write_whole(json, found.model_dump_json(indent=1))


@app.command()
def export(
    directory: Annotated[
        Path, typer.Argument(metavar="DIR", help="Output directory; created if missing.")
    ],
    format: Annotated[
        ExportFormat,
        typer.Option(help="Output format; 'challenge' is that of RecSys Challenge 2025."),
    ] = "challenge",
    blocks: BlocksOption = None,
    clients: Annotated[
        Path | None,
        typer.Option(
            help="Clients to export: .npy, .parquet or .csv; all in the input by default."
        ),
    ] = None,
    classes: ClassesOption = None,
    profile: ProfileOption = "default",
    width: Annotated[
        int | None, typer.Option(help="Export only the first N numbers; all by default.", min=1)
    ] = None,
    preset: PresetOption = "small",
    model: ModelOption = None,
    home: HomeOption = DEFAULT_HOME,
) -> None:
    """Write what 'ubp evaluate' scores, for the challenge's own programs.

    client_ids.npy and embeddings.npy, made from all but the last four weeks;
    beside them the events before these (input/), what was bought in them
    (target/) and the product properties: DIR is the data directory and the
    embeddings directory of the organisers' programs.
    """
    from pipelines import export as pipeline

    found = pipeline.export(
        *(open_home(home), directory, format, listed(blocks), bars(terminal)),
        profile=profile,
        width=width,
        preset=preset,
        model=model,
        clients=clients,
        classes=classes,
    )
    pipeline.show_exported(console, found)


@app.command()
def encode(
    cutoff: Annotated[
        list[str] | None,
        typer.Option(help="Cutoff time (UTC), past or present; repeatable."),
    ] = None,
    version: VersionOption = None,
    home: HomeOption = DEFAULT_HOME,
) -> None:
    """Encode profiles at further cutoffs with the fitted blocks.

    Without a cutoff: the midnight after the last event.
    """
    from pipelines import train as pipeline

    times = [parse_time(text) for text in cutoff or []]
    profile, paths = pipeline.encode(open_home(home), times, version, bars(terminal))
    for path in paths:
        text = f"profile {profile.name}: {path}"
        console.print(text, highlight=False, soft_wrap=True, markup=False)


@app.command()
def publish(version: VersionOption = None, home: HomeOption = DEFAULT_HOME) -> None:
    """Register the profiles with Feast and serve a version online."""
    from pipelines import publish as pipeline
    from pipelines.console.tables import show_served

    show_served(console, pipeline.publish(open_home(home), version, bars(terminal)))


@app.command()
def profile(
    client_id: ClientArgument,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    home: HomeOption = DEFAULT_HOME,
) -> None:
    """Look up a client's profile in the online store."""
    from pipelines import retrieve

    found, parts = retrieve.profile(open_home(home), client_id)
    if json:
        print(json_format.dumps(retrieve.as_json(found)))  # noqa: T201
    else:
        console.print(retrieve.as_table(found, parts))


@app.command("training-set")
def training_set(
    entities: Annotated[
        Path, typer.Argument(help="Parquet file with client_id, event_timestamp and any labels.")
    ],
    out: Annotated[Path, typer.Argument(help="The Parquet file to write.")],
    version: ServedOption = None,
    home: HomeOption = DEFAULT_HOME,
) -> None:
    """Join clients at past times with their profiles as of those times."""
    from pipelines import retrieve

    rows, known = retrieve.training_set(open_home(home), entities, out, version, bars(terminal))
    text = f"{out}: {rows:,} rows, {known:,} with a profile of their own"
    console.print(text, highlight=False, markup=False)


@app.command()
def status(
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    home: HomeOption = DEFAULT_HOME,
) -> None:
    """Show what the home holds, how fresh it is, and what to do next."""
    from pipelines import status as pipeline
    from pipelines.console.tables import status_tables

    found = pipeline.status(open_home(home))
    if json:
        print(json_format.dumps(found))  # noqa: T201
    else:
        console.print(status_tables(found))


@app.command()
def demo(
    simulated: Annotated[
        bool,
        typer.Option("--simulated", help="On a simulated shop, with all event types and blocks."),
    ] = False,
    home: HomeOption = DEFAULT_HOME,
) -> None:
    """Run the whole job on a year of real grocery purchases (extra 'demo')."""
    from pipelines import demo as pipeline

    place = open_home(home)
    plan = pipeline.simulated(place) if simulated else pipeline.GROCERY
    pipeline.demo(place, console, plan)


def main() -> None:
    """Run ``ubp``; errors are one line on stderr, with exit code 2 where the user can help."""
    run(app, errors)


if __name__ == "__main__":
    main()
