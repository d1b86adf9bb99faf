"""Online lookup of one client among many on SQLite, against a bare read of the same bytes."""

import argparse
import sqlite3
import tempfile
import time
from pathlib import Path

import numpy as np
from feast.infra.key_encoding_utils import serialize_entity_key
from feast.protos.feast.types.EntityKey_pb2 import EntityKey
from feast.protos.feast.types.Value_pb2 import Value

from benchmarks.machine import PeakMemory, report
from benchmarks.profiles import make_profiles
from pipelines.publish import publish
from ubp_platform.home import Home
from ubp_platform.store.retrieval import ProfileStore


def percentiles(call, keys) -> np.ndarray:
    times = np.empty(len(keys))
    for number, key in enumerate(keys):
        start = time.perf_counter()
        call(key)
        times[number] = time.perf_counter() - start
    return np.percentile(times, [50, 99]) * 1e3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clients", type=int, default=100_000)
    parser.add_argument("--width", type=int, default=1066)
    parser.add_argument("--lookups", type=int, default=5000)
    arguments = parser.parse_args()
    rng = np.random.default_rng(1)
    with tempfile.TemporaryDirectory() as directory:
        home = Home(home=Path(directory))
        make_profiles(home, arguments.clients, 1, arguments.width)
        cpu = time.process_time()
        with PeakMemory() as peak:
            publish(home)
        cpu = (time.process_time() - cpu) / arguments.clients * 100_000
        store = ProfileStore(home)
        wanted = rng.integers(0, arguments.clients, arguments.lookups) * 2 + 1
        ids = [int(client) for client in wanted]
        store.lookup_many(ids[:100])
        ours = percentiles(store.lookup, ids)
        many = percentiles(store.lookup_many, [ids[i : i + 100] for i in range(0, len(ids), 100)])
        bare = sqlite3.connect(home.feast / "online.db")
        keys = [
            serialize_entity_key(
                EntityKey(join_keys=["client_id"], entity_values=[Value(int64_val=client)]), 3
            )
            for client in ids
        ]
        query = "SELECT value FROM ubp_profile_v1 WHERE entity_key = ?"
        plain = percentiles(lambda key: bare.execute(query, (key,)).fetchall(), keys)
    report(
        "lookup",
        f"One of {arguments.clients:,} profiles of {arguments.width} numbers, SQLite, in process",
        [
            ("bare sqlite3 read, p50 / p99", f"{plain[0]:.3f} / {plain[1]:.3f} ms"),
            ("lookup, p50 / p99 (p50 at most 0.5 ms)", f"{ours[0]:.3f} / {ours[1]:.3f} ms"),
            ("ratio of medians", f"{ours[0] / plain[0]:.1f}×"),
            ("lookup_many of 100 clients, p50 / p99", f"{many[0]:.2f} / {many[1]:.2f} ms"),
            ("publish, CPU seconds per 100,000 clients", f"{cpu:.1f} s"),
            ("publish, peak memory", f"{peak.gigabytes:.2f} GB"),
        ],
        ratio=round(float(ours[0] / plain[0]), 1),
        p50_ms=round(float(ours[0]), 3),
        p99_ms=round(float(ours[1]), 3),
        publish_cpu_s=round(cpu, 1),
    )


if __name__ == "__main__":
    main()
