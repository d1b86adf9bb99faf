"""Ingest of page visits with all checks, compared with DuckDB's sorted load of the same file."""

import argparse
import tempfile
import time
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.arguments import count
from benchmarks.machine import PeakMemory, report
from pipelines.ingest import ingest
from ubp_platform.home import Home


def write_visits(path: Path, rows: int) -> None:
    rng = np.random.default_rng(0)
    with pq.ParquetWriter(path, SCHEMA) as writer:
        for start in range(0, rows, 1_000_000):
            count = min(1_000_000, rows - start)
            writer.write_table(
                pa.table(
                    {
                        "client_id": rng.integers(0, 20_000_000, count),
                        "timestamp": (1_655_000_000 + rng.integers(0, 86400 * 180, count))
                        .astype("datetime64[s]")
                        .astype("datetime64[us]"),
                        "url": (rng.pareto(0.6, count) * 50).clip(0, 12_000_000).astype(np.int64),
                    },
                    schema=SCHEMA,
                )
            )


SCHEMA = pa.schema(
    [("client_id", pa.int64()), ("timestamp", pa.timestamp("us")), ("url", pa.int64())]
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=count, default=10_000_000)
    rows = parser.parse_args().rows
    with tempfile.TemporaryDirectory() as directory:
        source = Path(directory) / "delivery"
        source.mkdir()
        path = source / "page_visit.parquet"
        write_visits(path, rows)
        start = time.perf_counter()
        with duckdb.connect(Path(directory) / "bare.duckdb") as bare:
            bare.read_parquet(str(path)).create_view("visits")
            bare.execute("CREATE TABLE t AS SELECT * FROM visits ORDER BY client_id, timestamp")
        plain = time.perf_counter() - start
        start = time.perf_counter()
        with PeakMemory() as peak:
            ingest(Home(home=Path(directory) / "home"), str(source))
        ours = time.perf_counter() - start
    report(
        "ingest",
        f"Ingest of {rows:,} page visits",
        [
            (
                "DuckDB, CREATE TABLE … AS SELECT … ORDER BY",
                f"{plain:.1f} s, {rows / plain:,.0f}/s",
            ),
            ("ubp ingest, all checks, one transaction", f"{ours:.1f} s, {rows / ours:,.0f}/s"),
            ("ratio of times (at most 6)", f"{ours / plain:.2f}×"),
            ("peak memory (under 4 GB)", f"{peak.gigabytes:.2f} GB"),
        ],
        events=rows,
        ratio=round(ours / plain, 2),
        peak_gb=round(peak.gigabytes, 2),
    )


if __name__ == "__main__":
    main()
