"""Are text codes better used as categories or as numbers? LightFM scored on later purchases.

    python -m benchmarks.lightfm_codes            # about a minute on two cores
    python -m benchmarks.lightfm_codes --small    # seconds, as a smoke test

The shop is simulated: names and queries of similar products share codes. The block is fitted up to
a cutoff with the 4,096 indicators (position, code); with the 16 codes averaged as numbers, as in
the paper; and on the same shop without names and queries. Each client's vector ranks the products
that are new to the client, and these ranks are compared with what the client bought or put into the
cart in the four weeks after the cutoff.
"""

import tempfile
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from benchmarks.arguments import smoke_parser
from benchmarks.machine import report
from tests.shops import land
from ubp_platform.blocks.lightfm import LightFMBlock
from ubp_platform.events.schema import PRODUCT_EVENTS
from ubp_platform.simulation.simulator import END, simulate
from ubp_platform.warehouse import Warehouse

AFTER = timedelta(days=28)
TOP = 10
TITLES = {"indicators": "4,096 indicators", "average": "16 averages", "none": "no texts"}


def evaluate(
    block: LightFMBlock, warehouse: Warehouse, cutoff: datetime = END - AFTER, end: datetime = END
) -> tuple[np.ndarray, np.ndarray]:
    """Rank new products; return precision@10 and AUC of each client with later events."""
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
        # Other products with later events are not ranking mistakes.
        mistakes = better - np.argsort(np.argsort(better))
        auc.append(1 - mistakes.mean() / others)
    return np.array(precision), np.array(auc)


def main() -> None:
    small = smoke_parser(__doc__).parse_args().small
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
                precision, auc = evaluate(block, warehouse)
            error = precision.std() / len(precision) ** 0.5
            results[name] = (precision.mean(), error, auc.mean(), block.report_.seconds)
    found = results.items()
    ratio = results["indicators"][0] / results["average"][0]
    report(
        "lightfm_codes",
        f"LightFM and text codes, {clients:,} simulated clients.\n"
        f"Products new to a client, ranked for {len(precision):,}\n"
        "clients with one in the last four weeks.",
        [
            *((f"precision@10, {TITLES[k]}", f"{p:.4f} ± {e:.4f}") for k, (p, e, *_) in found),
            *((f"AUC, {TITLES[k]}", f"{a:.3f}") for k, (*_, a, _) in found),
            *((f"seconds to fit, {TITLES[k]}", f"{s:.0f}") for k, (*_, s) in found),
            ("precision, indicators to averages", f"{ratio:.2f}"),
        ],
        small=small,
        clients=clients,
        scored=len(precision),
        **{f"precision_{name}": round(float(p), 4) for name, (p, *_) in found},
        **{f"auc_{name}": round(float(a), 4) for name, (*_, a, _) in found},
        ratio=round(float(ratio), 3),
    )


if __name__ == "__main__":
    main()
