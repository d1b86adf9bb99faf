"""What the names of a client's products add to the default profile: a mean of their embeddings.

A client's vector is the mean of the embeddings of the names of what it bought, lately bought ones
weighing more (a half-life), times the logarithm of how much that is; 64 principal components. It
knows products that nobody has bought yet, too. The baseline is the default profile; the log is
Complete Journey, whose names are real.

    python -m benchmarks.words --labels 300 --home build/journey
"""

import argparse
import tempfile
from pathlib import Path

import numpy as np
from rich.console import Console
from scipy import sparse
from sklearn.decomposition import PCA

from benchmarks.beside import table
from benchmarks.codecs import lsa, minilm
from benchmarks.machine import report
from pipelines.backtest import backtest, plan
from pipelines.demo import GROCERY
from pipelines.evaluate import pose
from pipelines.ingest import ingest
from ubp_platform.blocks.registry import PROFILES
from ubp_platform.evaluation.plan import EvaluationPlan, select_budgets
from ubp_platform.evaluation.protocol import run
from ubp_platform.evaluation.representations import ColumnRange, Representation, of_matrix, parts_of
from ubp_platform.evaluation.tasks import TASKS, Targets
from ubp_platform.home import Home
from ubp_platform.progress import bars
from ubp_platform.warehouse import Warehouse
from ubp_platform.warehouse.history import History

HALF_LIVES = (14, 60)
AXES = 64
_BOUGHT = """
SELECT client_id, lower(p.words) AS words,
       sum(pow(0.5, (epoch_us(cutoff) - epoch_us(timestamp)) / 86400e6 / {days})) AS weight
FROM relevant_product_buy JOIN product_properties p USING (sku), cutoff
WHERE p.words IS NOT NULL GROUP BY ALL ORDER BY ALL
"""


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--home", type=Path, help="kept; by default a temporary one")
    parser.add_argument("--labels", nargs="*", default=[], help="as `ubp evaluate --labels`")
    options = parser.parse_args()
    progress = bars(Console(stderr=True))
    with tempfile.TemporaryDirectory() as directory:
        home = Home(home=options.home or Path(directory) / "home")
        if not home.warehouse.exists():
            ingest(home, GROCERY.source)
        split, clients = plan(home)
        tested = backtest(home, split, clients, PROFILES["default"], progress=progress)
        with Warehouse(home.warehouse) as warehouse:
            tasks, _ = pose(Targets(warehouse, split, clients), TASKS, strict=False)
            made = dict(_vectors(warehouse.history(split.cutoff), clients))
        default = tuple(parts_of(tested.matrix, tested.version.widths))
        rows = [Representation("profile", "profile", default)]
        for name, vectors in made.items():
            parts = (*default, ColumnRange(vectors, 0, vectors.shape[1]))
            rows.append(Representation(f"with {name}", "without", parts))
        rows += [of_matrix(name, "block", vectors) for name, vectors in made.items()]
        budgets = select_budgets(options.labels or ["all"], len(clients), "holdout")
        judged = EvaluationPlan(heads=("logistic",), budgets=budgets)
        scores = run(rows, tasks, "small", judged, home.evaluation / "scores", progress)
    print(table(scores))
    sums = scores.sums
    best = max((name for name in sums if name.startswith("with ")), key=sums.__getitem__)
    report(
        "words",
        "Names of what was bought, beside the default profile",
        [
            ("the default profile, sum", f"{sums['profile']:.3f}"),
            (f"{best}, sum", f"{sums[best]:.3f}"),
            ("ratio", f"{sums[best] / sums['profile']:.4f}×"),
        ],
        sums={name: round(value, 4) for name, value in sums.items()},
        ratio=round(sums[best] / sums["profile"], 4),
    )


def _vectors(history: History, clients: np.ndarray) -> "list[tuple[str, np.ndarray]]":
    """Give each client's mean name, by embedding and half-life: (n_clients, 64) each."""
    found = []
    for days in HALF_LIVES:
        bought = history.query(_BOUGHT.format(days=days))
        texts, name = np.unique(bought["words"].to_numpy(zero_copy_only=False), return_inverse=True)
        order = np.argsort(clients)
        ids = bought["client_id"].to_numpy()
        place = np.searchsorted(clients[order], ids).clip(0, len(clients) - 1)
        asked = clients[order][place] == ids
        cells = (bought["weight"].to_numpy()[asked], (order[place[asked]], name[asked]))
        weights = sparse.csr_matrix(cells, shape=(len(clients), len(texts)))
        amounts = np.asarray(weights.sum(axis=1)).ravel()
        for kind, embed in (("lsa", lsa), ("minilm", minilm)):
            embedded = embed(tuple(texts.tolist()))
            embedded = embedded / np.maximum(np.linalg.norm(embedded, axis=1, keepdims=True), 1e-9)
            means = weights @ embedded / np.maximum(amounts, 1e-9)[:, None]
            vectors = PCA(AXES, random_state=0).fit_transform(np.log1p(amounts)[:, None] * means)
            found.append((f"{kind}, {days} days", (vectors / vectors.std()).astype(np.float16)))
    return found


if __name__ == "__main__":
    main()
