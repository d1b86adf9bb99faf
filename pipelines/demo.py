"""``ubp demo``: the whole job on a year of real grocery purchases, or on a simulated shop."""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from rich.rule import Rule

from pipelines.console.deliveries import show_ingested
from pipelines.console.output import progress, say, show
from pipelines.console.profiles import explanation_tables, show_served, show_trained
from pipelines.console.similar import described_client, show_index, show_similar
from pipelines.console.status import status_tables
from pipelines.console.tables import plain_table
from pipelines.encode import encode
from pipelines.explain import explain
from pipelines.index import index
from pipelines.ingest import ingest
from pipelines.publish import publish
from pipelines.retrieve import profile
from pipelines.similar import similar
from pipelines.status import status
from pipelines.train import Trained, train
from ubp_platform.blocks.registry import profile_blocks
from ubp_platform.demo import pictures
from ubp_platform.demo.churn import ChurnResult, evaluate_churn
from ubp_platform.errors import UBPError, WarehouseMissing
from ubp_platform.events.schema import PRODUCTS
from ubp_platform.files import make_directory
from ubp_platform.home import Home
from ubp_platform.progress import ProgressFactory
from ubp_platform.simulation.simulator import END, simulate
from ubp_platform.store.retrieval import ProfileStore
from ubp_platform.times import WINDOW_DAYS
from ubp_platform.warehouse import Warehouse, ledger

CLIENTS, LOG_DAYS = 3000, 120


@dataclass(frozen=True)
class DemoShop:
    """The shop of a demo, and the cutoffs at which it fits and scores.

    Parameters
    ----------
    about : str
    source : str
    layout : str
    clients : str
        The word for the shop's clients.
    client : int
        The client that is looked up.
    simulated : bool
        Whether the shop is simulated; then that client's vector is decoded, too. A year of
        groceries is too long for that.
    score_cutoff : datetime
        Start of the last complete window of :data:`WINDOW_DAYS`.
    earlier : int
        Number of windows before it that the churn model is fitted on; the blocks are fitted at
        the start of the first.
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
        """Starts of the windows that the churn model is fitted on, oldest first."""
        window = timedelta(days=WINDOW_DAYS)
        return [self.score_cutoff - back * window for back in range(self.earlier, 0, -1)]


GROCERY = DemoShop(
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


def simulated(home: Home) -> DemoShop:
    """Return a simulated shop with all five event types; its files are stored in the home."""
    return DemoShop(
        about=f"A simulated shop: {CLIENTS:,} clients, {LOG_DAYS} days, all five event types",
        source=str(home.root / "simulated"),
        layout="challenge",
        clients="clients",
        client=395,
        simulated=True,
        score_cutoff=END - timedelta(days=WINDOW_DAYS),
        earlier=2,
    )


def demo(home: Home, shop: DemoShop) -> None:
    """Ingest, train, encode, publish, look up, and predict churn; end with pictures.

    Parameters
    ----------
    home : Home
    shop : DemoShop

    Raises
    ------
    UBPError
        If the home holds another shop.
    """
    _require_own(home, shop)
    bars = progress()
    _heading("1  Ingest: event files into the checked warehouse")
    say(shop.about)
    if shop.simulated:
        _simulate(Path(shop.source), bars)
    show_ingested(ingest(home, shop.source, shop.layout, progress=bars))

    first = shop.fit_cutoffs[0]
    _heading(f"2  Train: blocks fitted on events before {first:%Y-%m-%d}")
    # One autoencoder more, to decode a client's vector.
    names = [*profile_blocks("default"), "gru_ae_week_all"] if shop.simulated else ()
    trained = train(home, names, first, progress=bars)
    show_trained(trained)

    _heading("3  Encode: the same blocks at later cutoffs")
    encode(home, [*shop.fit_cutoffs, shop.score_cutoff], trained.profile.name, bars)

    _heading("4  Publish: profiles into the feature store")
    show_served(publish(home, trained.profile.name, bars))
    show_index(index(home, trained.profile.name, progress=bars))

    _heading("5  Use: what is there, one client online, and a model that profits")
    show(status_tables(status(home)))
    show(described_client(profile(home, str(shop.client))))
    show_similar(similar(home, [str(shop.client)], version=trained.profile.name))
    store = ProfileStore(home, trained.profile.name)
    if shop.simulated:
        show(explanation_tables(explain(home, str(shop.client)), rows=12))
    with Warehouse(home.warehouse) as warehouse:
        cutoffs = shop.fit_cutoffs, shop.score_cutoff
        result = evaluate_churn(warehouse, store, *cutoffs, days=WINDOW_DAYS, progress=bars)
    _show_scores(shop, result)
    _draw(home, shop, trained, result)


def _simulate(directory: Path, progress: ProgressFactory) -> None:
    """Write the log unless it is complete; the product properties are written last."""
    if not (directory / f"{PRODUCTS.name}.parquet").exists():
        shutil.rmtree(directory, ignore_errors=True)
        make_directory(directory, private=directory.parent)  # which is the home
        simulate(directory, CLIENTS, LOG_DAYS, progress=progress)


def _require_own(home: Home, shop: DemoShop) -> None:
    """Refuse a home with events of another shop: both would be taken for one."""
    try:
        with Warehouse(home.warehouse) as warehouse:
            sources = {str(batch["source"]) for batch in ledger.batches(warehouse.connection)}
    except WarehouseMissing:
        return
    if others := sources - {shop.source}:
        raise UBPError(
            f"{home.root} holds the events of another shop, from {min(others)}: "
            "give the demo a --home of its own"
        )


def _heading(text: str) -> None:
    say("")
    show(Rule(f"[bold]{text}", align="left"))


def _show_scores(shop: DemoShop, result: ChurnResult) -> None:
    churned = result.scored.entities["churned"]
    table = plain_table(
        f"Churn: no purchase in the {WINDOW_DAYS} days from {shop.score_cutoff:%Y-%m-%d}",
        ["input", "model", "numbers", "AUROC"],
        numbers=["numbers", "AUROC"],
    )
    for score in result.scores:
        table.add_row(score.name, score.model, str(score.width), f"{score.auroc:.4f}")
    show(table)
    say(
        f"{churned.mean():.0%} of {len(churned):,} {shop.clients} churned; models "
        f"are fitted on {result.rows:,} rows of {shop.earlier} earlier cutoffs"
    )


def _draw(home: Home, shop: DemoShop, trained: Trained, result: ChurnResult) -> None:
    directory = home.root / "pictures"
    make_directory(directory)
    reports = {fit.name: fit.report for fit in trained.profile.fits(home)}
    rows = result.scored
    with progress()("pictures", 3, "pictures") as advance:
        paths = [pictures.training_curves(reports, directory / "training_curves.png")]
        advance(1)
        title = f"Churn in the {WINDOW_DAYS} days from {shop.score_cutoff:%Y-%m-%d}"
        paths.append(pictures.roc_curves(result.scores, title, directory / "roc.png"))
        advance(1)
        colours = {
            "Days since the last purchase": rows.entities["recency"].to_numpy(),
            "Products bought so far": rows.entities["frequency"].to_numpy(),
        }
        paths.append(pictures.profile_map(rows.X, colours, directory / "profile_map.png"))
        advance(1)
    for path in paths:
        say(f"picture: {path}", wrap=False)
