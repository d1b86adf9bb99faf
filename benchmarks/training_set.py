"""A training set through Feast, against a keys-first ASOF join in bare DuckDB on the same files."""

import argparse
import tempfile
import time
from datetime import timedelta
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd

from benchmarks.machine import PeakMemory, report
from benchmarks.profiles import FIRST, make_profiles
from pipelines.publish import publish
from ubp_platform.home import Home
from ubp_platform.store.retrieval import ProfileStore

# The join first finds each row's cutoff from the keys alone, then fetches the wide vectors.
ASOF = """
WITH keys AS (SELECT client_id, event_timestamp FROM snapshots),
     matched AS (SELECT e.row, k.client_id, k.event_timestamp
                 FROM entities e ASOF JOIN keys k
                 ON e.client_id = k.client_id AND e.event_timestamp >= k.event_timestamp)
SELECT m.row, s.embedding FROM matched m JOIN snapshots s USING (client_id, event_timestamp)
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--clients", type=int, default=25_000)
    parser.add_argument("--cutoffs", type=int, default=4)
    parser.add_argument("--width", type=int, default=1066)
    arguments = parser.parse_args()
    rng = np.random.default_rng(2)
    span = 14 * arguments.cutoffs
    entities = pd.DataFrame(
        {
            "client_id": rng.integers(0, arguments.clients, arguments.rows) * 2 + 1,
            "event_timestamp": pd.Timestamp(FIRST)
            + pd.to_timedelta(rng.integers(0, span, arguments.rows), unit="D"),
            "row": np.arange(arguments.rows),
        }
    )
    with tempfile.TemporaryDirectory() as directory:
        home = Home(home=Path(directory))
        version = make_profiles(home, arguments.clients, arguments.cutoffs, arguments.width)
        publish(home)
        store = ProfileStore(home)
        store.training_set(entities.head(10))  # both start warm
        bare = duckdb.connect()
        bare.execute("SET TimeZone = 'UTC'")
        bare.read_parquet(f"{version.directory}/*.parquet").create_view("snapshots")
        bare.register("entities", entities)
        ours, plain = [], []
        with PeakMemory() as peak:
            for _ in range(5):
                start = time.perf_counter()
                training_set = store.training_set(entities[["client_id", "event_timestamp"]])
                ours.append(time.perf_counter() - start)
                start = time.perf_counter()
                table = bare.sql(ASOF).to_arrow_table()
                X = np.empty((arguments.rows, arguments.width), np.float32)
                vectors = table["embedding"].combine_chunks().flatten().to_numpy()
                X[table["row"].to_numpy()] = vectors.reshape(-1, arguments.width)
                plain.append(time.perf_counter() - start)
        assert np.array_equal(X, training_set.X), "the two joins disagree"
        assert FIRST + timedelta(days=span) > entities["event_timestamp"].max()
    seconds, baseline = float(np.median(ours)), float(np.median(plain))
    ratio = seconds / baseline
    report(
        "training_set",
        f"{arguments.rows:,} rows × {arguments.width}, {arguments.cutoffs} cutoffs, medians of 5",
        [
            ("keys-first ASOF join in bare DuckDB", f"{baseline:.2f} s"),
            ("training_set, through Feast", f"{seconds:.2f} s"),
            ("ratio of times (at most 3)", f"{ratio:.2f}×"),
            ("peak memory of both", f"{peak.gigabytes:.2f} GB"),
        ],
        ratio=round(ratio, 2),
    )


if __name__ == "__main__":
    main()
