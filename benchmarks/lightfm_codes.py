"""Are text codes better taken as categories or as numbers? LightFM judged on later purchases.

    python -m benchmarks.lightfm_codes            # about a minute on two cores
    python -m benchmarks.lightfm_codes --small    # seconds, to see that it runs

The shop is simulated: a product's name and a query share codes where they mean products of the same
kind. The block is fitted up to a cutoff with the 4,096 indicators (position, code); with the 16
codes averaged as numbers, as in the paper; and on the same shop without names and queries. All are
judged alike: by a client's encoded vector all products that are new to it are ranked, and compared
with those that it bought or put into the cart in the four weeks after the cutoff.
"""

import argparse
import tempfile
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from benchmarks.machine import report
from tests.shops import land
from ubp_platform.blocks.lightfm import LightFMBlock
from ubp_platform.events.schema import PRODUCT_EVENTS
from ubp_platform.simulation.simulator import END, simulate
from ubp_platform.warehouse import Warehouse

AFTER = timedelta(days=28)
TOP = 10
TITLES = {"indicators": "4,096 indicators", "average": "16 averages", "none": "no texts"}


def judge(
    block: LightFMBlock, warehouse: Warehouse, cutoff: datetime = END - AFTER, end: datetime = END
) -> tuple[np.ndarray, np.ndarray]:
    """Rank what came after the cutoff; gives each judged client's precision@10 and AUC."""
    history = warehouse.history(cutoff)
    snapshot = block.encode(history)
    touched = history.interactions("sku", dict.fromkeys(PRODUCT_EVENTS, 1), block.items_)
    wanted = {"product_buy": 1, "add_to_cart": 1}
    later = warehouse.history(end).interactions("sku", wanted, block.items_)
    rows = {client: row for row, client in enumerate(later.client_ids)}
    precision, auc = [], []
    for row, client in enumerate(snapshot.client_ids):
        known = touched.matrix[row].indices
        new = np.setdiff1d(later.matrix[rows[client]].indices, known) if client in rows else []
        if not len(new):
            continue
        scores = (
            block.factors_.item_representations @ snapshot.vectors[row] + block.factors_.item_biases
        )
        scores[known] = -np.inf
        better = (scores > scores[new][:, None]).sum(axis=1)
        precision.append((better < TOP).sum() / TOP)
        others = len(scores) - len(known) - len(new)
        # Of the better ones, those that are new themselves are no mistake.
        mistakes = better - np.argsort(np.argsort(better))
        auc.append(1 - mistakes.mean() / others)
    return np.array(precision), np.array(auc)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--small", action="store_true", help="a smoke run in seconds")
    small = parser.parse_args().small
    clients, days, epochs = (600, 60, 2) if small else (6000, 140, 40)
    results = {}
    with tempfile.TemporaryDirectory() as directory:
        files = simulate(Path(directory) / "shop", clients, days)
        shop = {file.path.stem: pq.read_table(file.path).to_pandas() for file in files}
        wordless = {name: shop[name] for name in PRODUCT_EVENTS}
        for name, tables, codes in (
            ("indicators", shop, "indicators"),
            ("average", shop, "average"),
            ("none", wordless, "indicators"),
        ):
            with land(Path(directory) / f"{name}.duckdb", tables) as warehouse:
                block = LightFMBlock.from_preset("small", codes=codes, max_epochs=epochs)
                block.fit(warehouse.history(END - AFTER))
                precision, auc = judge(block, warehouse)
            error = precision.std() / len(precision) ** 0.5
            results[name] = (precision.mean(), error, auc.mean(), block.report_.seconds)
    found = results.items()
    ratio = results["indicators"][0] / results["average"][0]
    report(
        "lightfm_codes",
        f"LightFM and text codes, {clients:,} simulated clients.\n"
        f"Products new to a client, ranked for {len(precision):,}\n"
        "clients who took one in the last four weeks.",
        [
            *((f"precision@10, {TITLES[k]}", f"{p:.4f} ± {e:.4f}") for k, (p, e, *_) in found),
            *((f"AUC, {TITLES[k]}", f"{a:.3f}") for k, (*_, a, _) in found),
            *((f"seconds to fit, {TITLES[k]}", f"{s:.0f}") for k, (*_, s) in found),
            ("precision, indicators to averages", f"{ratio:.2f}"),
        ],
        small=small,
        clients=clients,
        judged=len(precision),
        **{f"precision_{name}": round(float(p), 4) for name, (p, *_) in found},
        **{f"auc_{name}": round(float(a), 4) for name, (*_, a, _) in found},
        ratio=round(float(ratio), 3),
    )


if __name__ == "__main__":
    main()
