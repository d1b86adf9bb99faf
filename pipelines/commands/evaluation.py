"""Commands about evaluation: scores of the profile, and exports for other programs."""

from pathlib import Path
from typing import Annotated

import typer

from pipelines.console.options import (
    AsDeliveredOption,
    BlocksOption,
    ClassesOption,
    HomeOption,
    ModelOption,
    PresetOption,
    ProfileOption,
    listed,
)
from pipelines.console.output import progress, say
from ubp_platform.choices import ExportFormat, NetworkName, ProtocolName
from ubp_platform.errors import UBPError
from ubp_platform.files import write_text
from ubp_platform.home import open_home
from ubp_platform.sealed import sealed_json

app = typer.Typer()
PANEL = "Evaluation"


@app.command(rich_help_panel=PANEL)
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
        int, typer.Option(help="Seeds per head; several show which differences are noise.", min=1)
    ] = 1,
    block_seeds: Annotated[
        int,
        typer.Option(
            help="Seeds per block fit; several show how much a profile depends on chance.", min=1
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
    as_delivered: AsDeliveredOption = False,
    home: HomeOption = None,
) -> None:
    """Score the profile on the six tasks of RecSys Challenge 2025.

    Makes the profile from all but the last four weeks, predicts these weeks from it, and compares
    it with each block alone, with the profile without each block, and with baselines that learn
    nothing. Existing fits and scores are reused. Ends with a report to look at.
    """
    from pipelines import evaluate as pipeline
    from pipelines.console.score_tables import show_evaluation

    if json and (json.is_dir() or not json.resolve().parent.is_dir()):
        raise UBPError(f"--json: {json} must be a file, in a directory that exists")
    place = open_home(home)
    found = pipeline.evaluate(
        place,
        listed(blocks),
        listed(tasks),
        network=network,
        seeds=seeds,
        progress=progress(),
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
        as_delivered=as_delivered,
    )
    show_evaluation(found)
    say(f"Report: {place.report}", wrap=False)
    if json:
        write_text(json, sealed_json(found))


@app.command(rich_help_panel=PANEL)
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
    home: HomeOption = None,
) -> None:
    """Export the evaluated profiles and the split in the challenge's format.

    Writes client_ids.npy and embeddings.npy, made from all but the last four
    weeks; beside them the events before these weeks (input/), the purchases in
    them (target/) and the product properties. DIR is both the data directory and
    the embeddings directory of the organisers' programs.
    """
    from pipelines import export as pipeline
    from pipelines.console.profiles import show_exported

    found = pipeline.export(
        open_home(home),
        directory,
        format=format,
        blocks=listed(blocks),
        progress=progress(),
        profile=profile,
        width=width,
        preset=preset,
        model=model,
        clients=clients,
        classes=classes,
    )
    show_exported(found)


@app.command(rich_help_panel=PANEL)
def card(
    version: Annotated[
        str | None, typer.Argument(help="A profile version, or a tag; the newest by default.")
    ] = None,
    json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object; write no page.")
    ] = False,
    home: HomeOption = None,
) -> None:
    """Write the card of a profile version: data, blocks, cutoffs, drift, scores, limits.

    A page of its own, report/VERSION.html in the home; it names no client.
    """
    from pipelines import card as pipeline

    place = open_home(home)
    found = pipeline.card(place, version)
    if json:
        print(found.model_dump_json())  # noqa: T201
    else:
        say(f"Card: {pipeline.write_card(place, found)}", wrap=False)
