"""``ubp demo``: the whole job on a year of real grocery purchases."""

from datetime import UTC, datetime, timedelta

from rich.console import Console

from pipelines.ingest import ingest
from pipelines.publish import publish
from pipelines.retrieve import as_table
from pipelines.status import status
from pipelines.tables import (
    plain_table,
    show_ingested,
    show_served,
    show_trained,
    status_tables,
)
from pipelines.train import Trained, encode, train
from ubp_platform.blocks.catalog import Catalog
from ubp_platform.evaluation import pictures
from ubp_platform.evaluation.churn import ChurnResult, evaluate_churn
from ubp_platform.events.layouts import Layout
from ubp_platform.home import Home
from ubp_platform.progress import bars
from ubp_platform.store.retrieval import ProfileStore
from ubp_platform.warehouse import Warehouse

# The data end with 2017; the last window that is whole starts here.
SCORE_CUTOFF = datetime(2017, 12, 18, tzinfo=UTC)
DAYS = 14
FIT_CUTOFFS = [SCORE_CUTOFF - timedelta(days=DAYS * back) for back in (4, 3, 2, 1)]
HOUSEHOLD = 1228


def demo(home: Home, console: Console) -> None:
    """Ingest, train, encode, publish, look up, and predict churn; end with pictures.

    Parameters
    ----------
    home : Home
    console : Console
    """
    progress = bars(console)
    _heading(console, "1  Ingest: event files into the checked warehouse")
    console.print(
        "Complete Journey: a year of grocery purchases of 2,469 US households, published by 84.51° "
        "as real and CC0 (the package that carries them calls them simulated)"
    )
    show_ingested(
        console, ingest(home, "completejourney", Layout.completejourney, progress=progress)
    )

    _heading(console, f"2  Train: blocks fitted on events before {FIT_CUTOFFS[0]:%Y-%m-%d}")
    trained = train(home, cutoff=FIT_CUTOFFS[0], progress=progress)
    show_trained(console, trained)

    _heading(console, "3  Encode: the same blocks at later cutoffs")
    encode(home, [*FIT_CUTOFFS, SCORE_CUTOFF], trained.profile.name, progress)

    _heading(console, "4  Publish: profiles into the feature store")
    show_served(console, publish(home, trained.profile.name, progress))

    _heading(console, "5  Use: what is there, one household online, and a model that profits")
    console.print(status_tables(status(home)))
    store = ProfileStore(home, trained.profile.name)
    console.print(as_table(store.lookup(HOUSEHOLD), store.version.parts))
    with Warehouse(home.warehouse) as warehouse:
        result = evaluate_churn(warehouse, store, FIT_CUTOFFS, SCORE_CUTOFF, DAYS)
    _show_scores(console, result)
    _draw(home, console, trained, result)


def _heading(console: Console, text: str) -> None:
    console.print()
    console.rule(f"[bold]{text}", align="left")


def _show_scores(console: Console, result: ChurnResult) -> None:
    churned = result.scored.entities["churned"]
    table = plain_table(
        f"Churn: no purchase in the {DAYS} days from {SCORE_CUTOFF:%Y-%m-%d}",
        *("input", "numbers", "AUROC"),
        numbers=("numbers", "AUROC"),
    )
    for score in result.scores:
        table.add_row(score.name, str(score.width), f"{score.auroc:.4f}")
    console.print(table)
    console.print(
        f"{churned.mean():.0%} of {len(churned):,} households churned; logistic regression, "
        f"fitted on {result.rows:,} rows of {len(FIT_CUTOFFS)} earlier cutoffs",
        highlight=False,
    )


def _draw(home: Home, console: Console, trained: Trained, result: ChurnResult) -> None:
    directory = home.root / "pictures"
    directory.mkdir(exist_ok=True)
    catalog = Catalog(home)
    parts = trained.profile.parts
    reports = {part.block: catalog.get(part.block, part.version).report for part in parts}
    rows = result.scored
    with bars(console)("pictures", 3, "pictures") as advance:
        paths = [pictures.training_curves(reports, directory / "training_curves.png")]
        advance(1)
        title = f"Churn in the {DAYS} days from {SCORE_CUTOFF:%Y-%m-%d}"
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
