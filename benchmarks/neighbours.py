"""Whether similar clients buy alike: a recommender of categories from a client's neighbours.

Clients of whom a purchase in the two weeks after a cutoff is known are told the ten categories that
their 50 nearest neighbours bought most in the eight weeks before it (a neighbour counts by
similarity, a category once). Precision is the share of these ten that the client then bought from.
Neighbours are those by the default profile, by iALS of categories, and by 42 handcrafted features;
the baseline are the ten categories that most clients bought. Nobody is their own neighbour.

    python -m benchmarks.neighbours                        # Complete Journey
    python -m benchmarks.neighbours --simulated 12000      # a simulated shop of so many clients
"""

import argparse
import tempfile
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
from rich.console import Console
from scipy import sparse

from benchmarks.machine import report
from pipelines.ingest import ingest
from pipelines.train import train
from ubp_platform.blocks.snapshot import Snapshot
from ubp_platform.home import Home
from ubp_platform.progress import bars
from ubp_platform.similar.vectors import VectorIndex, unit
from ubp_platform.simulation import simulator
from ubp_platform.times import literal, parse_time
from ubp_platform.warehouse import Warehouse

BEFORE, AFTER = timedelta(days=56), timedelta(days=14)
NEIGHBOURS, TOLD = 50, 10
DEFAULT = ("future_window", "counters", "item_scores")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--simulated", type=int, metavar="CLIENTS", help="instead of the grocer")
    options = parser.parse_args()
    progress = bars(Console(stderr=True))
    with tempfile.TemporaryDirectory(prefix="neighbours-") as directory:
        home = Home(Path(directory) / "home")
        source, cutoff = "completejourney", parse_time("2017-12-04")
        if options.simulated:
            source, cutoff = str(Path(directory) / "shop"), parse_time("2022-10-31")
            simulator.simulate(Path(source), options.simulated, 100, progress=progress)
        ingest(home, source, progress=progress)
        blocks = [*DEFAULT, "ials_categories", "handcrafted"]
        version = train(home, blocks, cutoff, progress=progress).profile
        profiles = Snapshot.read(version.snapshots[-1].path)
        with Warehouse(home.warehouse) as warehouse:
            before = _bought(warehouse, profiles.client_ids, cutoff - BEFORE, cutoff)
            after = _bought(warehouse, profiles.client_ids, cutoff, cutoff + AFTER)
    asked = np.flatnonzero(after.getnnz(axis=1))
    spaces = {
        "profile": version.columns(DEFAULT),
        "future_window": version.columns(["future_window"]),
        "iALS of categories": version.columns(["ials_categories"]),
        "handcrafted": version.columns(["handcrafted"]),
    }
    popular = np.argsort(-before.getnnz(axis=0), kind="stable")[:TOLD]
    found = {"popularity": _precision(after, asked, np.tile(popular, (len(asked), 1)))}
    for name, columns in spaces.items():
        told = _told(unit(profiles.vectors[:, columns]), before, asked)
        found[name] = _precision(after, asked, told)
    base = found["popularity"].mean()
    rows = [
        (name, f"{scores.mean():.4f} ± {_error(scores):.4f}, {scores.mean() / base:.2f}×")
        for name, scores in found.items()
    ]
    gain = found["profile"] - found["iALS of categories"]
    rows.append(("profile ahead of iALS", f"{gain.mean():+.4f} ± {_error(gain):.4f}"))
    report(
        "neighbours",
        f"precision@{TOLD} of what {NEIGHBOURS} neighbours bought, {len(asked):,} clients",
        rows,
        ratio=round(float(found["profile"].mean() / base), 3),
        ratio_to_ials=round(float(found["profile"].mean() / found["iALS of categories"].mean()), 3),
    )


def _bought(
    warehouse: Warehouse, clients: np.ndarray, start: datetime, end: datetime
) -> sparse.csr_matrix:
    """Say from which categories clients bought: shape (n_clients, n_categories)."""
    categories = warehouse.connection.execute(
        "SELECT DISTINCT category FROM product_properties ORDER BY 1"
    ).fetchnumpy()["category"]
    rows = warehouse.connection.execute(
        f"""SELECT DISTINCT client_id, category
            FROM product_buy JOIN product_properties USING (sku)
            WHERE timestamp >= {literal(start)} AND timestamp < {literal(end)}"""
    ).fetchnumpy()
    known = np.isin(rows["client_id"], clients) & np.isin(rows["category"], categories)
    places = (
        np.searchsorted(clients, rows["client_id"][known]),
        np.searchsorted(categories, rows["category"][known]),
    )
    shape = (len(clients), len(categories))
    return sparse.csr_matrix((np.ones(known.sum(), np.float32), places), shape=shape)


def _told(rows: np.ndarray, before: sparse.csr_matrix, asked: np.ndarray) -> np.ndarray:
    """Return the categories that neighbours bought most, (n_asked, TOLD)."""
    index = VectorIndex.build(rows[: VectorIndex.sample_size(len(rows))], len(rows))
    index.add(np.arange(len(rows)), rows)
    told = np.empty((len(asked), TOLD), np.int64)
    for place, client in enumerate(asked):
        near = index.search(rows[client], NEIGHBOURS + 1)
        near = near[near != client][:NEIGHBOURS]
        weights = np.maximum(rows[near] @ rows[client], 0)
        told[place] = np.argsort(-(before[near].T @ weights), kind="stable")[:TOLD]
    return told


def _precision(after: sparse.csr_matrix, asked: np.ndarray, told: np.ndarray) -> np.ndarray:
    bought = after[asked].toarray() > 0
    return np.take_along_axis(bought, told, axis=1).mean(axis=1)


def _error(scores: np.ndarray) -> float:
    """Return the standard error of a mean."""
    return float(scores.std() / np.sqrt(len(scores)))


if __name__ == "__main__":
    main()
