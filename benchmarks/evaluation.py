"""The cost of the challenge's protocol: labels and batches, and training steps.

Labels and batches of an epoch over both windows, compared with a pipeline like the organisers': a
torch Dataset that filters the purchases of a window by client for every row, in a DataLoader with
batches of 128. Ours sums the purchases in the warehouse, selects the classes and computes all
labels at once; the plain way has its purchases and classes in memory. Both produce the same labels
and vectors.

Seconds of a training step in `fit`, including its batch, compared with a plain loop over the same
network with torch's default AdamW and ready-made tensors.

    python -m benchmarks.evaluation            # about two minutes on two cores
    python -m benchmarks.evaluation --small    # seconds, as a smoke test
"""

import tempfile
import time
from datetime import UTC
from pathlib import Path
from statistics import median

import numpy as np
import pandas as pd
import torch
from torch.nn.functional import binary_cross_entropy_with_logits
from torch.utils.data import DataLoader, Dataset

from benchmarks.arguments import smoke_parser
from benchmarks.machine import report
from tests.shops import land
from ubp_platform.evaluation.class_lists import Classes
from ubp_platform.evaluation.network import (
    BATCH,
    LEARNING_RATE,
    NETWORKS,
    SEED,
    DownstreamNetwork,
    NetworkName,
    fit,
)
from ubp_platform.evaluation.representations import Representation, of_matrix
from ubp_platform.evaluation.split import Split
from ubp_platform.evaluation.tasks import Targets, Task
from ubp_platform.warehouse import Warehouse

WIDTH, CLASSES, TASK = 1066, 100, "propensity_sku"
LAST = pd.Timestamp("2022-11-27 21:30")
SPLIT = Split(LAST.to_pydatetime().replace(tzinfo=UTC))
RUNS = 3
Batches = list[tuple[torch.Tensor, torch.Tensor]]


def purchases(clients: int) -> pd.DataFrame:
    """Make 100 days with four purchases per client, mostly of a few of 2,000 products."""
    rng = np.random.default_rng(0)
    count = 4 * clients
    ago = pd.to_timedelta(rng.integers(0, 100 * 86400, count), "s")
    frame = pd.DataFrame(
        {
            "client_id": rng.integers(0, clients, count),
            "timestamp": LAST - ago,
            "sku": rng.zipf(1.2, count) % 2000,
        }
    )
    frame.loc[0, "timestamp"] = LAST
    return frame


class Rows(Dataset):
    """Clients' vectors and labels, looked up row by row.

    Parameters
    ----------
    clients : ndarray of int64, shape (n,)
    vectors : ndarray of float16, shape (n, width)
    bought : DataFrame
        Purchases of a window.
    classes : ndarray of int64, shape (n_classes,)
    """

    def __init__(
        self, clients: np.ndarray, vectors: np.ndarray, bought: pd.DataFrame, classes: np.ndarray
    ) -> None:
        self.clients, self.vectors = clients, vectors
        self.bought, self.classes = bought, classes

    def __len__(self) -> int:
        return len(self.clients)

    def __getitem__(self, row: int) -> tuple[np.ndarray, np.ndarray]:
        own = self.bought[self.bought["client_id"] == self.clients[row]]
        labels = np.isin(self.classes, own["sku"].unique())
        return self.vectors[row].astype(np.float32), labels.astype(np.float32)


def looked_up(
    bought: pd.DataFrame, clients: np.ndarray, vectors: np.ndarray, classes: Classes
) -> tuple[list[Batches], float]:
    """Make the batches of both windows row by row; return them with the seconds."""
    windows = [
        bought[bought["timestamp"].between(start, end, inclusive="left")]
        for start, end in (
            [time.replace(tzinfo=None) for time in window]
            for window in (SPLIT.train_window, SPLIT.validation_window)
        )
    ]
    start = time.perf_counter()
    made = [
        list(DataLoader(Rows(clients, vectors, window, classes.values), batch_size=BATCH))
        for window in windows
    ]
    return made, time.perf_counter() - start


def in_columns(
    path: Path, clients: np.ndarray, representation: Representation
) -> tuple[Task, list[Batches], float]:
    """Make the task and the batches of both windows as the evaluation does; return the seconds."""
    start = time.perf_counter()
    with Warehouse(path) as warehouse:
        task = Targets(warehouse, SPLIT, clients).task(TASK)
    made = []
    for labels in (task.train, task.validation):
        batches = []
        for first in range(0, len(task.rows), BATCH):
            batch = slice(first, first + BATCH)
            answers = torch.from_numpy(labels[batch]).to(torch.float32)
            batches.append((representation.batch(task.rows[batch]), answers))
        made.append(batches)
    return task, made, time.perf_counter() - start


def agree(ours: list[Batches], plain: list[Batches]) -> bool:
    """Whether the plain rows have the same vectors and labels."""
    for mine, theirs in zip(ours, plain, strict=True):
        for part in (0, 1):
            rows = torch.cat([batch[part] for batch in theirs])
            if not torch.equal(torch.cat([batch[part] for batch in mine])[: len(rows)], rows):
                return False
    return True


def first_rows(task: Task, rows: int) -> Task:
    """Restrict a task to its first clients."""
    return Task(
        task.name, task.rows[:rows], task.train[:rows], task.validation[:rows], task.classes
    )


def our_steps(representation: Representation, task: Task, network: NetworkName) -> list[float]:
    """Time the steps of a fit; without the first of an epoch, which follows the scoring."""
    ends: list[float] = []
    fit(representation, task, network, advance=lambda rows: ends.append(time.perf_counter()))
    return np.diff(np.reshape(ends, (NETWORKS[network].epochs, -1)), axis=1).ravel().tolist()


def plain_steps(representation: Representation, task: Task, network: NetworkName) -> list[float]:
    """Time the steps of a plain loop with default AdamW; without the first one, which allocates."""
    torch.manual_seed(SEED)
    net = DownstreamNetwork(representation.width, task.train.shape[1], *NETWORKS[network][:2])
    optimizer = torch.optim.AdamW(net.parameters(), lr=LEARNING_RATE)
    batches = [
        (representation.batch(rows), torch.from_numpy(task.train[rows]).to(torch.float32))
        for rows in np.split(task.rows, len(task.rows) // BATCH)
    ]
    seconds = []
    for x, y in batches:
        start = time.perf_counter()
        optimizer.zero_grad()
        binary_cross_entropy_with_logits(net(x), y).backward()
        optimizer.step()
        seconds.append(time.perf_counter() - start)
    return seconds[1:]


def main() -> None:
    small = smoke_parser(__doc__).parse_args().small
    count, rows, steps, width = 20_000, 4_000, 8, WIDTH
    network: NetworkName = "paper"
    if small:
        torch.set_num_threads(1)  # at this size a second thread only costs time
        count, rows, steps, width, network = 600, 300, 3, 32, "small"
    bought, clients = purchases(count), np.random.default_rng(1).permutation(count)
    rng = np.random.default_rng(2)
    vectors = rng.standard_normal((count, width), dtype=np.float32).astype(np.float16)
    representation = of_matrix("profile", "profile", vectors)
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "warehouse.duckdb"
        land(path, {"product_buy": bought}).connection.close()
        our_seconds = float("inf")
        for _ in range(RUNS):
            task, ours, seconds = in_columns(path, clients, representation)
            our_seconds = min(our_seconds, seconds)
    assert task.classes is not None
    plain, plain_seconds = looked_up(bought, clients[:rows], vectors[:rows], task.classes)
    assert agree(ours, plain)
    plain_seconds *= count / rows
    del ours, plain

    asked = first_rows(task, steps * BATCH)
    # The plain loop before and after ours, to balance other load on the machine.
    plain_step = plain_steps(representation, asked, network)
    our_step = our_steps(representation, asked, network)
    plain_step += plain_steps(representation, asked, network)
    ratio, step_ratio = plain_seconds / our_seconds, median(plain_step) / median(our_step)
    report(
        "evaluation",
        f"The challenge's protocol: {count:,} clients × {width} numbers × {task.train.shape[1]} "
        f"classes, batches of {BATCH}, {torch.get_num_threads()} threads.\n"
        f"In columns: best of {RUNS} runs, with the warehouse's queries. A lookup per row: once, "
        f"on {rows:,} clients, time scaled to all;\nlabels and vectors of these are equal. "
        f"Steps: medians of {len(our_step)} and {len(plain_step)}, network {network}.",
        [
            ("a lookup per row, labels and batches of an epoch", f"{plain_seconds:.2f} s"),
            ("in columns, the same (at least 10 times as fast)", f"{our_seconds:.2f} s"),
            ("times as fast", f"{ratio:.0f}"),
            ("a training step, plain", f"{median(plain_step):.4f} s"),
            ("a training step, ours (not slower)", f"{median(our_step):.4f} s"),
            ("times as fast", f"{step_ratio:.2f}"),
        ],
        ratio=round(ratio, 1),
        step_ratio=round(step_ratio, 2),
        seconds=round(our_seconds, 3),
        baseline_seconds=round(plain_seconds, 2),
        step_seconds=round(median(our_step), 4),
        baseline_step_seconds=round(median(plain_step), 4),
        small=small,
    )


if __name__ == "__main__":
    main()
