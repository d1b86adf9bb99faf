"""``ubp demo``: the whole job on a year of real grocery purchases, or on a simulated shop."""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from rich.console import Console

from pipelines.console.tables import (
    explanation_tables,
    plain_table,
    show_ingested,
    show_served,
    show_trained,
    status_tables,
)
from pipelines.explain import explain
from pipelines.ingest import ingest
from pipelines.publish import publish
from pipelines.retrieve import as_table
from pipelines.status import status
from pipelines.train import Trained, encode, train
from ubp_platform.blocks.catalog import Catalog
from ubp_platform.blocks.registry import profile_blocks
from ubp_platform.errors import UBPError, WarehouseMissing
from ubp_platform.evaluation.churn import ChurnResult, evaluate_churn
from ubp_platform.events.schema import PRODUCTS
from ubp_platform.home import Home
from ubp_platform.progress import ProgressFactory, bars
from ubp_platform.report import pictures
from ubp_platform.simulation.simulator import END, simulate
from ubp_platform.store.retrieval import ProfileStore
from ubp_platform.warehouse import Warehouse, ledger

DAYS = 14
CLIENTS, LOG_DAYS = 3000, 120


@dataclass(frozen=True)
class Plan:
    """The shop of a demo, and when it fits and scores.

    Parameters
    ----------
    about : str
    source : str
    layout : str
    clients : str
        What the shop's clients are called.
    client : int
        The one who is looked up.
    simulated : bool
        Whether the shop is simulated; then that client's vector is decoded, too: nobody can say a
        year of groceries again.
    score_cutoff : datetime
        The last window of :data:`DAYS` that is whole starts here.
    earlier : int
        How many windows before it the churn model is fitted on; the blocks are fitted at the
        beginning of the first.
    """

    about: str
    source: str
    layout: str
    clients: str
    client: int
    simulated: bool
    score_cutoff: datetime
    earlier: int

    @property
    def fit_cutoffs(self) -> Sequence[datetime]:
        """Where the windows begin that the churn model is fitted on, oldest first."""
        return [
            self.score_cutoff - timedelta(days=DAYS * back) for back in range(self.earlier, 0, -1)
        ]


GROCERY = Plan(
    about="Complete Journey: a year of grocery purchases of 2,469 US households, published by "
    "84.51° as real and CC0 (the package that carries them calls them simulated)",
    source="completejourney",
    layout="completejourney",
    clients="households",
    client=1228,
    simulated=False,
    score_cutoff=datetime(2017, 12, 18, tzinfo=UTC),
    earlier=3,
)


def simulated(home: Home) -> Plan:
    """Plan a demo on a simulated shop with all five event types; its files lie in the home."""
    return Plan(
        about=f"A simulated shop: {CLIENTS:,} clients, {LOG_DAYS} days, all five event types",
        source=str(home.root / "simulated"),
        layout="challenge",
        clients="clients",
        client=395,
        simulated=True,
        score_cutoff=END - timedelta(days=DAYS),
        earlier=2,
    )


def demo(home: Home, console: Console, plan: Plan) -> None:
    """Ingest, train, encode, publish, look up, and predict churn; end with pictures.

    Parameters
    ----------
    home : Home
    console : Console
    plan : Plan

    Raises
    ------
    UBPError
        If the home holds another shop.
    """
    _require_own(home, plan)
    progress = bars(console)
    _heading(console, "1  Ingest: event files into the checked warehouse")
    console.print(plan.about)
    if plan.simulated:
        _simulate(Path(plan.source), progress)
    show_ingested(console, ingest(home, plan.source, plan.layout, progress=progress))

    first = plan.fit_cutoffs[0]
    _heading(console, f"2  Train: blocks fitted on events before {first:%Y-%m-%d}")
    # An autoencoder more, where there is something to decode and to understand.
    names = [*profile_blocks("default"), "gru_ae_week_all"] if plan.simulated else ()
    trained = train(home, names, first, progress=progress)
    show_trained(console, trained)

    _heading(console, "3  Encode: the same blocks at later cutoffs")
    encode(home, [*plan.fit_cutoffs, plan.score_cutoff], trained.profile.name, progress)

    _heading(console, "4  Publish: profiles into the feature store")
    show_served(console, publish(home, trained.profile.name, progress))

    _heading(console, "5  Use: what is there, one client online, and a model that profits")
    console.print(status_tables(status(home)))
    store = ProfileStore(home, trained.profile.name)
    console.print(as_table(store.lookup(plan.client), store.version.parts))
    if plan.simulated:
        console.print(explanation_tables(explain(home, str(plan.client)), rows=12))
    with Warehouse(home.warehouse) as warehouse:
        result = evaluate_churn(
            warehouse, store, plan.fit_cutoffs, plan.score_cutoff, DAYS, progress
        )
    _show_scores(console, plan, result)
    _draw(home, console, plan, trained, result)


def _simulate(directory: Path, progress: ProgressFactory) -> None:
    """Write the log, unless it is there whole; the product properties come last."""
    if not (directory / f"{PRODUCTS.name}.parquet").exists():
        shutil.rmtree(directory, ignore_errors=True)
        simulate(directory, CLIENTS, LOG_DAYS, progress=progress)


def _require_own(home: Home, plan: Plan) -> None:
    """Two shops in one warehouse would be taken for one."""
    try:
        with Warehouse(home.warehouse) as warehouse:
            sources = {str(batch["source"]) for batch in ledger.batches(warehouse.connection)}
    except WarehouseMissing:
        return
    if others := sources - {plan.source}:
        raise UBPError(
            f"{home.root} holds the events of another shop, from {min(others)}: "
            "give the demo a --home of its own"
        )


def _heading(console: Console, text: str) -> None:
    console.print()
    console.rule(f"[bold]{text}", align="left")


def _show_scores(console: Console, plan: Plan, result: ChurnResult) -> None:
    churned = result.scored.entities["churned"]
    table = plain_table(
        f"Churn: no purchase in the {DAYS} days from {plan.score_cutoff:%Y-%m-%d}",
        *("input", "model", "numbers", "AUROC"),
        numbers=("numbers", "AUROC"),
    )
    for score in result.scores:
        table.add_row(score.name, score.model, str(score.width), f"{score.auroc:.4f}")
    console.print(table)
    console.print(
        f"{churned.mean():.0%} of {len(churned):,} {plan.clients} churned; models "
        f"are fitted on {result.rows:,} rows of {plan.earlier} earlier cutoffs",
        highlight=False,
    )


def _draw(home: Home, console: Console, plan: Plan, trained: Trained, result: ChurnResult) -> None:
    directory = home.root / "pictures"
    directory.mkdir(exist_ok=True)
    catalog = Catalog(home)
    parts = trained.profile.parts
    reports = {part.block: catalog.get(part.block, part.version).report for part in parts}
    rows = result.scored
    with bars(console)("pictures", 3, "pictures") as advance:
        paths = [pictures.training_curves(reports, directory / "training_curves.png")]
        advance(1)
        title = f"Churn in the {DAYS} days from {plan.score_cutoff:%Y-%m-%d}"
        paths.append(pictures.roc_curves(result.scores, title, directory / "roc.png"))
        advance(1)
        colours = {
            "Days since the last purchase": rows.entities["recency"].to_numpy(),
            "Products bought so far": rows.entities["frequency"].to_numpy(),
        }
        paths.append(pictures.profile_map(rows.X, colours, directory / "profile_map.png"))
        advance(1)
    for path in paths:
        console.print(f"picture: {path}", highlight=False, soft_wrap=True)
