"""What `ubp forget` costs.

    python -m benchmarks.forget                       # 1% of a log of the challenge's size
    python -m benchmarks.forget --scale 0.1

A hundred clients are forgotten by a home with two cutoffs that is published. The baseline is the
other way to be rid of them: to ingest the log without them, and to encode and publish all again
(fits are not counted: they stay in both).
"""

import argparse
import shutil
import tempfile
import time
from datetime import timedelta
from pathlib import Path

import duckdb
from rich.console import Console

from benchmarks.machine import report
from pipelines.encode import encode
from pipelines.forget import forget
from pipelines.ingest import ingest
from pipelines.publish import publish
from pipelines.train import train
from ubp_platform.home import Home
from ubp_platform.progress import bars
from ubp_platform.simulation import challenge, simulator
from ubp_platform.times import parse_time

CLIENTS = 100
BLOCKS = ["handcrafted", "counters", "item_scores"]
#: The simulated log ends at this midnight.
END = parse_time("2022-11-28")
CUTOFFS = [END - timedelta(days=14), END]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--scale", type=float, default=0.01, help="of the challenge's log")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="forget-") as directory:
        _measure(Path(directory), options.scale)


def _measure(directory: Path, scale: float) -> None:
    progress = bars(Console(stderr=True))
    plan = challenge.plan("challenge", scale, None, None)
    simulator.simulate(directory / "shop", **vars(plan), seed=0, progress=progress)
    buys = directory / "shop" / "product_buy.parquet"
    found = duckdb.sql(
        f"SELECT DISTINCT client_id FROM '{buys}' ORDER BY hash(client_id) LIMIT {CLIENTS}"
    ).fetchall()
    clients = [str(client) for (client,) in found]
    home = Home(directory / "home")
    ingest(home, str(directory / "shop"), progress=progress)
    train(home, BLOCKS, CUTOFFS[0], progress=progress)
    encode(home, CUTOFFS, progress=progress)
    publish(home, progress=progress)
    size = sum(path.stat().st_size for path in home.root.rglob("*") if path.is_file())

    start = time.perf_counter()
    removed = forget(home, clients, progress=progress)
    fast = time.perf_counter() - start

    for path in (directory / "shop").glob("*.parquet"):
        if path.stem not in ("product_properties", "relevant_clients"):
            kept = f"FROM '{path}' WHERE client_id NOT IN ({','.join(clients)})"
            duckdb.sql(kept).write_parquet(f"{path}.kept")
            Path(f"{path}.kept").rename(path)
    other = Home(directory / "other")
    start = time.perf_counter()
    ingest(other, str(directory / "shop"), progress=progress)
    for name in ("blocks", "profiles", "names"):
        shutil.copytree(home.root / name, other.root / name, dirs_exist_ok=True)
    for path in other.profiles.rglob("*.parquet"):
        path.unlink()
    shutil.rmtree(other.profiles / "v1" / "publishes")
    encode(other, CUTOFFS, progress=progress)
    publish(other, progress=progress)
    slow = time.perf_counter() - start

    rows = sum(removed.rows.values())
    report(
        "forget",
        f"{CLIENTS} clients forgotten, at {scale:g} of the challenge's log ({size / 1e9:.1f} GB)",
        [
            ("forget", f"{fast:.1f} s, {rows:,} rows and {removed.snapshots} snapshots"),
            ("ingest, encode and publish without them", f"{slow:.1f} s"),
            ("ratio", f"{fast / slow:.3f}"),
        ],
        scale=scale,
        ratio=round(fast / slow, 4),
    )


if __name__ == "__main__":
    main()
