"""``ubp``: universal behavioral profiles, from event files to a served vector a client."""

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
    help="Universal behavioral profiles, from event files to a served vector a client.",
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
    """Universal behavioral profiles, from event files to a served vector a client."""


@app.command()
def ingest(
    source: Annotated[
        str,
        typer.Argument(
            help="A file, a folder or a tree; 'completejourney' for the data of that package.",
        ),
    ],
    layout: Annotated[
        str | None,
        typer.Option(help="A layout's name or directory; recognised from the files by default."),
    ] = None,
    max_quarantine: Annotated[
        float, typer.Option(help="Reject the batch if a file has a larger share of bad rows.")
    ] = MAX_QUARANTINE,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Stage and check, show what would land, land nothing.")
    ] = False,
    replace: Annotated[
        int | None, typer.Option(help="A batch to take back, in whose place this one lands.")
    ] = None,
    home: HomeOption = DEFAULT_HOME,
) -> None:
    """Check event files and land them in the warehouse as one batch.

    SOURCE is a file, a folder or a tree. Which layout it is in is recognised from names of files
    and columns; 'ubp layouts' lists the layouts, and docs/ingest.md says how to write one.
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


@app.command()
def retract(
    batch: Annotated[int, typer.Argument(help="Its number; 'ubp ingest' said it.")],
    home: HomeOption = DEFAULT_HOME,
) -> None:
    """Take a batch back: its rows leave the warehouse.

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
    batch: Annotated[int | None, typer.Option(help="Of this batch; of all by default.")] = None,
    rows: Annotated[int, typer.Option(help="How many to show.", min=1)] = 20,
    clear: Annotated[bool, typer.Option("--clear", help="Forget them: they are mended.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print a JSON list.")] = False,
    home: HomeOption = DEFAULT_HOME,
) -> None:
    """Show the rows that broke a rule: where they came from, and which rule."""
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
    source: Annotated[Path, typer.Argument(help="A file, a folder or a tree.")],
    layout: Annotated[
        Path, typer.Option(help="The directory that gets the layout; must be new or empty.")
    ] = Path("layout"),
) -> None:
    """Look at files nobody has described, and write a layout for them to edit.

    Says what it sees: files, columns, and guesses which is the client, the time, the
    product and the kind of event. The layout runs as far as the guesses carry.
    """
    from pipelines import init as pipeline

    pipeline.show(console, source, pipeline.init(source, layout))


@app.command()
def layouts() -> None:
    """List the layouts that 'ubp ingest' knows: how files become tables of events."""
    from pipelines.console.tables import show_layouts
    from ubp_platform.layouts.description import shipped

    show_layouts(console, shipped().values())


@app.command()
def simulate(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="Gets the files; may be new.")],
    clients: Annotated[int | None, typer.Option(help="3000 by default.", min=1)] = None,
    days: Annotated[int | None, typer.Option(help="100 by default.", min=1, max=MAX_DAYS)] = None,
    seed: Annotated[int, typer.Option(help="Another one gives another shop.", min=0)] = 0,
    like: Annotated[str | None, typer.Option(help="'challenge': as large as its log.")] = None,
    scale: Annotated[float | None, typer.Option(help="A part of that, such as 0.01.")] = None,
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
        typer.Argument(metavar="FILE", help="A list of clients: .npy, .parquet or .csv."),
    ] = None,
    everybody: Annotated[bool, typer.Option("--all", help="All clients again.")] = False,
    home: HomeOption = DEFAULT_HOME,
) -> None:
    """Say whose profiles are wanted: blocks are fitted on them, and encode no others.

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
            help="Blocks to fit, the profile's others stay; by default those of --profile."
        ),
    ] = None,
    cutoff: Annotated[
        str | None,
        typer.Option(help="Learn from events before this time (UTC); after the last by default."),
    ] = None,
    profile: ProfileOption = "default",
    preset: PresetOption = "small",
    seed: Annotated[int, typer.Option(help="Of all that is random.", min=0)] = 0,
    skip: Annotated[
        list[str] | None,
        typer.Option(help="A block to leave out, or a pattern such as 'lm_*'; may be repeated."),
    ] = None,
    model: ModelOption = None,
    resume: Annotated[
        bool,
        typer.Option("--resume", help="Go on with fits that were cut off, from their last epoch."),
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
    """List the blocks of a profile: what each reads, and how its newest fit went."""
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
        typer.Option(help="An autoencoder, such as gru_ae_day_event_type; the richest by default."),
    ] = None,
    events: Annotated[int, typer.Option(help="How many of the newest to show.", min=1)] = 20,
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
        list[str] | None, typer.Option(help="Tasks, with commas; all by default.")
    ] = None,
    protocol: Annotated[
        str,
        typer.Option(
            help="'holdout': the train window chooses; 'challenge': as its own program does."
        ),
    ] = "holdout",
    heads: Annotated[
        list[str] | None,
        typer.Option(help="network, logistic, boosting, with commas; all by default."),
    ] = None,
    network: Annotated[
        str, typer.Option(help="'small' for every day on a CPU, 'paper' for the challenge's own.")
    ] = "small",
    labels: Annotated[
        list[str] | None,
        typer.Option(help="Labelled clients, such as 100,300; 'all': no fewer than all."),
    ] = None,
    seeds: Annotated[
        int, typer.Option(help="Fits of each head; several tell a difference from noise.", min=1)
    ] = 1,
    block_seeds: Annotated[
        int, typer.Option(help="Fits of the blocks: how much a profile owes to chance.", min=1)
    ] = 1,
    json: Annotated[
        Path | None, typer.Option("--json", help="Also write all numbers to this file.")
    ] = None,
    clients: Annotated[
        Path | None,
        typer.Option(
            help="Whom to ask about: .npy, .parquet or .csv; by default all in the input."
        ),
    ] = None,
    classes: ClassesOption = None,
    embeddings: Annotated[
        Path | None,
        typer.Option(
            help="Score client_ids.npy and embeddings.npy (float16) in DIR; fits nothing."
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
        Path, typer.Argument(metavar="DIR", help="Gets the files; made if it is not there.")
    ],
    format: Annotated[
        str, typer.Option(help="'challenge', as RecSys Challenge 2025 takes and gives files.")
    ] = "challenge",
    blocks: BlocksOption = None,
    clients: Annotated[
        Path | None,
        typer.Option(help="Whom to export: .npy, .parquet or .csv; by default all in the input."),
    ] = None,
    classes: ClassesOption = None,
    profile: ProfileOption = "default",
    width: Annotated[
        int | None, typer.Option(help="How many numbers, the first ones; all by default.", min=1)
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
        typer.Option(help="A time (UTC), past ones too; give it as often as you like."),
    ] = None,
    version: VersionOption = None,
    home: HomeOption = DEFAULT_HOME,
) -> None:
    """Make the profiles of further cutoffs with the fitted blocks.

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
        Path, typer.Argument(help="Parquet with client_id, event_timestamp and any labels.")
    ],
    out: Annotated[Path, typer.Argument(help="The Parquet file to write.")],
    version: ServedOption = None,
    home: HomeOption = DEFAULT_HOME,
) -> None:
    """Join clients at past times with their profiles as they were known then."""
    from pipelines import retrieve

    rows, known = retrieve.training_set(open_home(home), entities, out, version, bars(terminal))
    text = f"{out}: {rows:,} rows, {known:,} with a profile of their own"
    console.print(text, highlight=False, markup=False)


@app.command()
def status(
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    home: HomeOption = DEFAULT_HOME,
) -> None:
    """Say what is there, how fresh it is, and what to do next."""
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
