"""What embeddings of the names of a client's products add to the default profile.

A client's vector is the weighted mean embedding of the names of its purchases, with weights that
halve over a half-life, times the logarithm of the sum of weights; 64 principal components. It also
covers products that nobody has bought yet. The baseline is the default profile; the log is Complete
Journey, which has real names.

    python -m benchmarks.words --labels 300 --home build/journey
"""

import numpy as np
from rich.console import Console
from scipy import sparse
from sklearn.decomposition import PCA

from benchmarks.codecs import lsa, minilm
from benchmarks.machine import report
from benchmarks.scoring import (
    available_tasks,
    comparison_table,
    grocery_home,
    score,
    scoring_parser,
)
from ubp_platform.blocks.registry import PROFILES
from ubp_platform.evaluation.backtest import backtest, plan
from ubp_platform.evaluation.lookup import positions_in
from ubp_platform.evaluation.representations import ColumnRange, Representation, of_matrix, parts_of
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
    options = scoring_parser(__doc__).parse_args()
    progress = bars(Console(stderr=True))
    with grocery_home(options.home) as home:
        split, clients = plan(home)
        with Warehouse(home.warehouse) as warehouse:
            made = dict(_vectors(warehouse.history(split.cutoff), clients))
        tested = backtest(home, split, clients, PROFILES["default"], progress=progress)
        default = tuple(parts_of(tested.matrix, tested.version.widths))
        rows = [Representation("profile", "profile", default)]
        for name, vectors in made.items():
            parts = (*default, ColumnRange(vectors, 0, vectors.shape[1]))
            rows.append(Representation(f"with {name}", "without", parts))
        rows += [of_matrix(name, "block", vectors) for name, vectors in made.items()]
        tasks = available_tasks(home, split, clients)
        scores = score(home, rows, tasks, progress, options.labels)
    print(comparison_table(scores))
    sums = scores.sums
    best = max((name for name in sums if name.startswith("with ")), key=sums.__getitem__)
    report(
        "words",
        "Names of purchases, in addition to the default profile",
        [
            ("the default profile, sum", f"{sums['profile']:.3f}"),
            (f"{best}, sum", f"{sums[best]:.3f}"),
            ("ratio", f"{sums[best] / sums['profile']:.4f}×"),
        ],
        sums={name: round(value, 4) for name, value in sums.items()},
        ratio=round(sums[best] / sums["profile"], 4),
    )


def _vectors(history: History, clients: np.ndarray) -> list[tuple[str, np.ndarray]]:
    """Compute the clients' vectors by embedding and half-life: (n_clients, 64) each."""
    found = []
    for days in HALF_LIVES:
        bought = history.query(_BOUGHT.format(days=days))
        texts, name = np.unique(bought["words"].to_numpy(zero_copy_only=False), return_inverse=True)
        rows, listed = positions_in(clients, bought["client_id"].to_numpy())
        cells = (bought["weight"].to_numpy()[listed], (rows, name[listed]))
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
