"""Online lookup of one client among many, against a bare read of the same bytes.

On SQLite, or with ``--online-store redis`` on a server of its own, which needs ``redis-server``.
"""

import argparse
import os
import sqlite3
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from feast.infra.key_encoding_utils import serialize_entity_key
from feast.infra.online_stores.helpers import _mmh3
from feast.protos.feast.types.EntityKey_pb2 import EntityKey
from feast.protos.feast.types.Value_pb2 import Value
from redis import Redis

from benchmarks.machine import PeakMemory, report
from benchmarks.profiles import make_profiles
from pipelines.publish import publish
from tests.store.redis_server import redis_server
from ubp_platform.home import Home
from ubp_platform.store.configuration import configuration
from ubp_platform.store.retrieval import ProfileStore

MANY = 100
# Gives the stored bytes of a client, and of many.
Reads = tuple[Callable[[bytes], object], Callable[[list[bytes]], object]]


def percentiles(call, keys) -> np.ndarray:
    times = np.empty(len(keys))
    for number, key in enumerate(keys):
        start = time.perf_counter()
        call(key)
        times[number] = time.perf_counter() - start
    return np.percentile(times, [50, 99]) * 1e3


def in_groups(items: list) -> list[list]:
    return [items[start : start + MANY] for start in range(0, len(items), MANY)]


def stored_key(client: int) -> bytes:
    key = EntityKey(join_keys=["client_id"], entity_values=[Value(int64_val=client)])
    return serialize_entity_key(key, 3)


def bare_sqlite(home: Home) -> Reads:
    connection = sqlite3.connect(home.feast / "online.db")
    query = "SELECT value FROM ubp_profile_v1 WHERE entity_key "
    listed = f"{query} IN ({','.join('?' * MANY)})"
    return (
        lambda key: connection.execute(f"{query} = ?", (key,)).fetchall(),
        lambda keys: connection.execute(listed, keys).fetchall(),
    )


def bare_redis(home: Home) -> Reads:
    host, port = os.environ["UBP_REDIS"].split(":")
    client = Redis(host, int(port))
    field, project = _mmh3("profile_v1:embedding"), configuration(home)["project"].encode()

    def read_many(keys: list[bytes]) -> list:
        with client.pipeline(transaction=False) as pipeline:
            for key in keys:
                pipeline.hget(key + project, field)
            return pipeline.execute()

    return lambda key: client.hget(key + project, field), read_many


@contextmanager
def online_store(kind: str, directory: Path) -> Iterator[None]:
    """Make a store the one that is used; a Redis starts and ends here."""
    os.environ["UBP_ONLINE_STORE"] = kind
    if kind == "sqlite":
        yield
        return
    with redis_server(directory) as address:
        os.environ["UBP_REDIS"] = address
        yield


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--online-store", choices=["sqlite", "redis"], default="sqlite")
    parser.add_argument("--clients", type=int, default=100_000)
    parser.add_argument("--width", type=int, default=1066)
    parser.add_argument("--lookups", type=int, default=5000)
    arguments = parser.parse_args()
    kind = arguments.online_store
    rng = np.random.default_rng(1)
    with tempfile.TemporaryDirectory() as directory, online_store(kind, Path(directory)):
        home = Home(home=Path(directory) / "home")
        make_profiles(home, arguments.clients, 1, arguments.width)
        cpu = time.process_time()
        with PeakMemory() as peak:
            publish(home)
        cpu = (time.process_time() - cpu) / arguments.clients * 100_000
        store = ProfileStore(home)
        wanted = rng.integers(0, arguments.clients, arguments.lookups) * 2 + 1
        ids = [int(client) for client in wanted]
        keys = [stored_key(client) for client in ids]
        read, read_many = {"sqlite": bare_sqlite, "redis": bare_redis}[kind](home)
        store.lookup_many(ids[:MANY])
        read_many(keys[:MANY])
        ours, plain = percentiles(store.lookup, ids), percentiles(read, keys)
        many = percentiles(store.lookup_many, in_groups(ids))
        plain_many = percentiles(read_many, in_groups(keys))
    aim, bare, goal = {
        "sqlite": (0.5, "sqlite3 read", ""),
        "redis": (0.8, "redis-py HGET", " (p50 at most 8 ms)"),
    }[kind]
    report(
        "lookup",
        f"One of {arguments.clients:,} profiles of {arguments.width} numbers, {kind}, in process",
        [
            (f"bare {bare}, p50 / p99", f"{plain[0]:.3f} / {plain[1]:.3f} ms"),
            (f"lookup, p50 / p99 (p50 at most {aim} ms)", f"{ours[0]:.3f} / {ours[1]:.3f} ms"),
            ("ratio of medians", f"{ours[0] / plain[0]:.1f}×"),
            (f"bare read of {MANY}, p50 / p99", f"{plain_many[0]:.2f} / {plain_many[1]:.2f} ms"),
            (f"lookup_many of {MANY}, p50 / p99{goal}", f"{many[0]:.2f} / {many[1]:.2f} ms"),
            ("ratio of medians", f"{many[0] / plain_many[0]:.1f}×"),
            ("publish, CPU seconds per 100,000 clients", f"{cpu:.1f} s"),
            ("publish, peak memory", f"{peak.gigabytes:.2f} GB"),
        ],
        ratio=round(float(ours[0] / plain[0]), 1),
        p50_ms=round(float(ours[0]), 3),
        p99_ms=round(float(ours[1]), 3),
        many_p50_ms=round(float(many[0]), 2),
        publish_cpu_s=round(cpu, 1),
    )


if __name__ == "__main__":
    main()
