"""Similar clients by an index, beside the exact scan of all vectors: recall, time, memory.

    python -m benchmarks.similar --home HOME                      # of a published home's profiles
    python -m benchmarks.similar --home HOME --clients 1000000 --width 1066

With ``--clients`` or ``--width`` the profiles are made as many and as wide: a further client lies
between two neighbouring ones, a further column is a fixed mixture of the others. Without them the
home's own index is searched as well, from the client's id to the answer. Recall counts those of the
exact ten that an answer of ten has, after its candidates are put in order by their own vectors.
"""

import argparse
import gc
import tempfile
import time
from pathlib import Path

import numpy as np

from benchmarks.machine import report
from ubp_platform.blocks.snapshot import iterate
from ubp_platform.home import Home
from ubp_platform.profile.listing import get_version
from ubp_platform.similar.vectors import VectorIndex, unit
from ubp_platform.store.retrieval import ProfileStore

ASKED, K, CANDIDATES, ROWS = 500, 10, 30, 20_000


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--home", type=Path, required=True, help="a home with profiles")
    parser.add_argument("--clients", type=int)
    parser.add_argument("--width", type=int)
    options = parser.parse_args()
    home = Home(options.home)
    with tempfile.TemporaryDirectory(prefix="similar-") as directory:
        vectors = _profiles(home, Path(directory) / "x.npy", options.clients, options.width)
        rows, ratio = _measured(vectors, Path(directory) / "index")
    if not (options.clients or options.width):
        rows.append(("client's id to answer", _whole(home)))
    title = f"Similar clients among {vectors.shape[0]:,} of {vectors.shape[1]:,} numbers"
    report("similar", title, rows, ratio=round(ratio, 1))


def _profiles(home: Home, path: Path, clients: int | None, width: int | None) -> np.ndarray:
    """Write unit vectors of the wanted shape to a file, and map it."""
    version = get_version(home, None)
    file = version.snapshots[-1]
    have = file.clients, version.width
    shape = clients or have[0], width or have[1]
    found = np.lib.format.open_memmap(path, "w+", np.float32, shape)
    rng = np.random.default_rng(0)
    mixing = rng.normal(size=(have[1], max(0, shape[1] - have[1]))).astype(np.float32)
    mixing /= np.sqrt(have[1])
    row = 0
    while row < shape[0]:
        for _, vectors in iterate(file.path):
            part = vectors.copy()
            if row >= have[0]:  # beside the first ones
                order = np.argsort(part @ part[0])
                part[order[:-1]] += (
                    0.4
                    * rng.random((len(part) - 1, 1), np.float32)
                    * (part[order[1:]] - part[order[:-1]])
                )
            part = unit(np.hstack([part, part @ mixing])[:, : shape[1]])[: shape[0] - row]
            found[row : row + len(part)] = part
            row += len(part)
    return found


def _measured(vectors: np.ndarray, path: Path) -> tuple[list[tuple[str, str]], float]:
    clients = len(vectors)
    begun = time.perf_counter()
    sample = vectors[:: max(1, clients // VectorIndex.sample_size(clients))]
    index = VectorIndex.build(np.ascontiguousarray(sample), clients)
    for start in range(0, clients, ROWS):
        part = vectors[start : start + ROWS]
        index.add(np.arange(start, start + len(part)), part)
    built = time.perf_counter() - begun
    index.write(path)
    del index
    gc.collect()
    before = _memory()
    index = VectorIndex.open(path)
    asked = np.linspace(0, clients - 1, ASKED).astype(np.int64)
    exact, scan = _exact(vectors, asked)
    times, hits = [], 0
    for place, client in enumerate(asked):
        start = time.perf_counter()
        near = np.sort(index.search(vectors[client], CANDIDATES + 1))
        near = near[near != client]
        times.append(time.perf_counter() - start)
        scores = np.sort(vectors[near] @ vectors[client])[::-1][:K]
        hits += np.count_nonzero(scores >= exact[place] - 1e-6)
    p50, p99 = np.percentile(times, [50, 99])
    rows = [
        ("exact scan, all cores", f"{1000 * scan:.0f} ms"),
        ("index, one core: p50, p99", f"{1000 * p50:.1f}, {1000 * p99:.1f} ms"),
        ("times the speed of the scan", f"{scan / p50:.0f}×"),
        (f"recall@{K}", f"{hits / ASKED / K:.4f}"),
        ("build", f"{built:.0f} s"),
        ("file", f"{path.stat().st_size / 1e9:.2f} GB"),
        ("memory of a process, shared, own", "{:.2f}, {:.2f} GB".format(*_memory(before))),
    ]
    return rows, scan / p50


def _exact(vectors: np.ndarray, asked: np.ndarray) -> tuple[np.ndarray, float]:
    """Return the K-th best score of each client among others, and the seconds of one scan."""
    queries = vectors[asked]
    best = np.full((len(asked), K), -2, np.float32)
    for start in range(0, len(vectors), ROWS):
        scores = queries @ vectors[start : start + ROWS].T
        own = (asked >= start) & (asked < start + ROWS)
        scores[np.flatnonzero(own), asked[own] - start] = -2
        both = np.concatenate([best, np.partition(scores, -K, axis=1)[:, -K:]], axis=1)
        best = np.sort(both, axis=1)[:, -K:]
    times = []
    for place in range(5):
        start_time = time.perf_counter()
        scores = np.concatenate(
            [vectors[at : at + ROWS] @ queries[place] for at in range(0, len(vectors), ROWS)]
        )
        np.argpartition(scores, -K)[-K:]
        times.append(time.perf_counter() - start_time)
    return best[:, 0], float(np.median(times))


def _memory(before: tuple[float, float] = (0, 0)) -> tuple[float, float]:
    """Return the GB that are mapped from files, and others, of this process."""
    lines = dict(line.split(":") for line in Path("/proc/self/status").read_text().splitlines())
    found = [int(lines[name].split()[0]) / 1e6 for name in ("RssFile", "RssAnon")]
    return found[0] - before[0], found[1] - before[1]


def _whole(home: Home) -> str:
    store = ProfileStore(home)
    facts = store.similar_search.indexes.state().facts
    ids = facts.ids(np.linspace(0, len(facts) - 1, ASKED).astype(np.int64))
    times = []
    for client in ids:
        start = time.perf_counter()
        store.similar(client, K)
        times.append(time.perf_counter() - start)
    p50, p99 = 1000 * np.percentile(times, [50, 99])
    return f"{p50:.1f}, {p99:.1f} ms"


if __name__ == "__main__":
    main()
