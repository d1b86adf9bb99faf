"""The steps from the blocks' vectors to profiles that are served.

What the vectors hold does not matter here: they are random, of the paper's widths.
"""

import os
import shutil
import sqlite3
import tempfile
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import redirect_stdout
from datetime import UTC, datetime, timedelta
from io import StringIO
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd
from feast import FeatureStore
from feast.infra.key_encoding_utils import serialize_entity_key
from feast.infra.online_stores.helpers import _mmh3
from feast.protos.feast.types.EntityKey_pb2 import EntityKey
from feast.protos.feast.types.Value_pb2 import Value
from redis import Redis
from safetensors.numpy import save_file

from benchmarks.full_log.step import Done, Step
from pipelines.publish import publish
from tests.store.redis_server import redis_server
from ubp_platform.blocks.catalog import Catalog, new_version
from ubp_platform.blocks.fit_files import FitDescription, write_description, write_weights
from ubp_platform.blocks.fit_report import FitReport
from ubp_platform.blocks.registry import block_class
from ubp_platform.blocks.snapshot import ROWS_PER_GROUP, SnapshotWriter, iterate
from ubp_platform.files import make_directory
from ubp_platform.home import Home
from ubp_platform.profile.assembly import assemble
from ubp_platform.profile.listing import newest_version
from ubp_platform.profile.normalizer import Normalizer
from ubp_platform.profile.version import ProfileDescription, ProfilePart, ProfileVersion
from ubp_platform.store.configuration import configuration
from ubp_platform.store.feature_store import repo_config, write_configuration
from ubp_platform.store.objects import feast_objects, view_name
from ubp_platform.store.retrieval import ProfileStore
from ubp_platform.store.served import Served

RELEVANT_CLIENTS = 1_000_000
FIRST = datetime(2022, 6, 1, tzinfo=UTC)
CUTOFFS, DAYS_BETWEEN = 4, 14
LOOKUPS, MANY = 5000, 100
SLICE = 50_000
#: The twelve blocks of the paper, in the order of the profile, and the numbers of their vectors in
#: the preset ``paper``; 576 is the width of SmolLM2-135M.
WIDTHS = {
    "ials_categories": 64,
    "ials_page_visits": 64,
    "lightfm": 64,
    "next_product": 128,
    "next_url": 192,
    "gru_ae_day_event_type": 128,
    "gru_ae_all": 512,
    "gru_ae_week_all": 512,
    "gru_ae_sku_text": 512,
    "lm_all_interactions": 576,
    "lm_search_queries": 576,
    "handcrafted": 42,
}


def _home(place: Path) -> Home:
    return Home(home=place / "profiles")


def _clients(scale: float) -> int:
    return round(RELEVANT_CLIENTS * scale)


def assembly(place: Path, scale: float) -> Done:
    """Assemble snapshots of all twelve blocks; each block lacks every tenth client."""
    home = _home(place)
    shutil.rmtree(home.root, ignore_errors=True)
    version = _write_blocks(home, _clients(scale))
    start = time.perf_counter()
    assemble(home, version, FIRST)
    seconds = time.perf_counter() - start
    files = sum(file.stat().st_size for file in home.root.rglob("*") if file.is_file())
    shutil.rmtree(home.snapshots)
    return Done(_clients(scale), "clients", seconds, also={"disk_gb": files / 1e9})


def assembly_bare(place: Path, scale: float) -> Done:
    """Copy the profiles from one snapshot to another."""
    version, copy = newest_version(_home(place)), place / "copy.parquet"
    with SnapshotWriter(copy, FIRST, version.width) as writer:
        for ids, vectors in iterate(version.snapshot_path(FIRST)):
            writer.write(ids, vectors)
    copy.unlink()
    return Done(_clients(scale), "clients")


def _write_blocks(home: Home, clients: int) -> ProfileVersion:
    """Write a snapshot of every block, and a version with normalizers fitted on the first ones."""
    rng, arrays, parts, start = np.random.default_rng(0), {}, [], 0
    for number, (name, width) in enumerate(WIDTHS.items()):
        block, names = block_class(name), None
        if block.normalization == "quantile":
            names = tuple(f"feature_{column}" for column in range(width))
        directory = home.blocks / name / "v1"
        make_directory(directory)
        write_weights(directory, {})
        report = FitReport(cutoff=FIRST)
        write_description(directory, FitDescription(block=name, params={}, report=report, fit=name))
        path = Catalog(home).snapshot_path(name, "v1", FIRST)
        with SnapshotWriter(path, FIRST, width, names) as writer:
            for first in range(0, clients, ROWS_PER_GROUP):
                ids = np.arange(first, min(first + ROWS_PER_GROUP, clients))
                ids = ids[ids % 10 != number % 10]
                vectors = rng.standard_normal((len(ids), width), dtype=np.float32)
                writer.write(ids, vectors)
                if not first:
                    normalizer = Normalizer.fit(
                        vectors, block.normalization, block.principal_components
                    )
        arrays |= {f"{name}.{key}": array for key, array in normalizer.arrays.items()}
        parts.append(
            ProfilePart(
                block=name,
                version="v1",
                fit=name,
                fit_cutoff=FIRST,
                kind=normalizer.kind,
                start=start,
                width=normalizer.width,
            )
        )
        start += normalizer.width
    description = ProfileDescription(parts=parts, normalizer_cutoff=FIRST, created_at=FIRST)

    def write(directory: Path) -> None:
        (directory / "profile.json").write_text(description.model_dump_json())
        save_file(arrays, directory / "normalizers.safetensors")

    return ProfileVersion.load(new_version(home, home.profiles, write))


def _published(home: Home, clients: int) -> Done:
    start, cpu = time.perf_counter(), time.process_time()
    publish(home)
    seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
    return Done(clients, "clients", seconds, also={"cpu_s_per_100k": cpu / clients * 100_000})


def publish_all(place: Path, scale: float) -> Done:
    """Publish the profiles to SQLite."""
    home = _home(place)
    shutil.rmtree(home.feast, ignore_errors=True)
    return _published(home, _clients(scale))


def materialize(place: Path, scale: float) -> Done:
    """Let Feast materialize the profiles of some clients."""
    whole, clients = newest_version(_home(place)), min(SLICE, _clients(scale))
    home = Home(home=place / "slice")
    directory = home.profiles / whole.name
    shutil.copytree(whole.directory, directory, ignore=shutil.ignore_patterns("*.parquet"))
    part = ProfileVersion.load(directory)
    with SnapshotWriter(part.snapshot_path(FIRST), FIRST, part.width) as writer:
        for ids, vectors in iterate(whole.snapshot_path(FIRST)):
            writer.write(ids[ids < clients], vectors[ids < clients])
            if ids[-1] >= clients:
                break
    write_configuration(home)
    store = FeatureStore(config=repo_config(home))
    store.apply(feast_objects(home, {part.name: ""}))
    start, cpu = time.perf_counter(), time.process_time()
    day = timedelta(days=1)
    with redirect_stdout(StringIO()):
        store.materialize(FIRST - day, FIRST + day, [view_name(part.name)])
    seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
    online = sqlite3.connect(home.feast / "online.db")
    rows = online.execute(f"SELECT count(*) FROM ubp_{view_name(part.name)}").fetchall()
    online.close()
    assert rows[0][0] >= clients, "Feast has not materialized all clients"
    shutil.rmtree(home.root)
    return Done(clients, "clients", seconds, also={"cpu_s_per_100k": cpu / clients * 100_000})


# Functions that read the stored bytes of one client, and of many.
Reads = tuple[Callable[[bytes], object], Callable[[list[bytes]], object]]


def lookup_sqlite(place: Path, scale: float) -> Done:
    """Look up published profiles, one at a time and many at a time."""
    home = _home(place)
    connection = sqlite3.connect(home.feast / "online.db")
    query = f"SELECT value FROM ubp_{_view(home)} WHERE entity_key "
    listed = f"{query} IN ({','.join('?' * MANY)})"

    def read(key: bytes) -> object:
        return connection.execute(f"{query} = ?", (key,)).fetchall()

    def read_many(keys: list[bytes]) -> object:
        return connection.execute(listed, keys).fetchall()

    return _looked_up(home, scale, (read, read_many))


def lookup_redis(place: Path, scale: float) -> Done:
    """Publish to a temporary Redis server, and look up profiles."""
    home = _home(place)
    pointer = home.feast / "served.json"
    before = pointer.read_bytes()
    os.environ["UBP_ONLINE_STORE"] = "redis"
    try:
        with tempfile.TemporaryDirectory() as directory, redis_server(Path(directory)) as address:
            os.environ["UBP_REDIS"] = address
            published = _published(home, _clients(scale))
            host, port = address.split(":")
            client = Redis(host, int(port))
            done = _looked_up(home, scale, _redis_reads(home, client))
            memory = client.info("memory")["used_memory_rss"]
    finally:
        del os.environ["UBP_ONLINE_STORE"], os.environ["UBP_REDIS"]
        pointer.write_bytes(before)
    done.also |= published.also | {"server_gb": memory / 1e9}
    return done


def _redis_reads(home: Home, client: Redis) -> Reads:
    field = _mmh3(f"{_view(home)}:embedding")
    project = configuration(home)["project"].encode()

    def read_many(keys: list[bytes]) -> list:
        with client.pipeline(transaction=False) as pipeline:
            for key in keys:
                pipeline.hget(key + project, field)
            return pipeline.execute()

    return lambda key: client.hget(key + project, field), read_many


def _view(home: Home) -> str:
    served = Served.read(home)
    assert served
    return view_name("v1", served.publishes["v1"])


def _looked_up(home: Home, scale: float, reads: Reads) -> Done:
    read, read_many = reads
    store, rng = ProfileStore(home), np.random.default_rng(1)
    ids = rng.integers(0, _clients(scale), LOOKUPS).tolist()
    keys = [_stored_key(client) for client in ids]
    store.lookup_many(ids[:MANY])
    read_many(keys[:MANY])
    # Clients that were read once are cached: the two ways first read different clients.
    half = LOOKUPS // 2
    p50, p99 = _percentiles(store.lookup, ids[:half])
    plain, _ = _percentiles(read, keys[half:])
    many, _ = _percentiles(store.lookup_many, _in_groups(ids))
    plain_many, _ = _percentiles(read_many, _in_groups(keys))
    also = {
        "p99_to_p50": p99 / p50,
        f"{MANY}_at_once_ms": many * 1e3,
        f"{MANY}_at_once_baseline_ms": plain_many * 1e3,
    }
    return Done(_clients(scale), "clients", p50, plain, also)


def _percentiles(call: Callable, keys: list) -> tuple[float, float]:
    times = np.empty(len(keys))
    for number, key in enumerate(keys):
        start = time.perf_counter()
        call(key)
        times[number] = time.perf_counter() - start
    p50, p99 = np.percentile(times, [50, 99])
    return float(p50), float(p99)


def _in_groups(items: list) -> list[list]:
    return [items[start : start + MANY] for start in range(0, len(items), MANY)]


def _stored_key(client: int) -> bytes:
    key = EntityKey(join_keys=["client_id"], entity_values=[Value(int64_val=client)])
    return serialize_entity_key(key, 3)


def _entities(scale: float) -> pd.DataFrame:
    """Draw as many rows as clients, in the weeks of all cutoffs."""
    rng, rows = np.random.default_rng(2), _clients(scale)
    days = rng.integers(0, CUTOFFS * DAYS_BETWEEN, rows)
    return pd.DataFrame(
        {
            "client_id": rng.integers(0, rows, rows),
            "event_timestamp": pd.Timestamp(FIRST) + pd.to_timedelta(days, unit="D"),
        }
    )


def _cutoffs() -> Iterator[tuple[int, datetime]]:
    for number in range(CUTOFFS):
        yield number, FIRST + timedelta(days=DAYS_BETWEEN * number)


def training_set(place: Path, scale: float) -> Done:
    """Join profiles of several cutoffs to rows of clients and times."""
    home, entities = _home(place), _entities(scale)
    version = newest_version(home)
    for number, cutoff in _cutoffs():
        path = version.snapshot_path(cutoff)
        if not path.exists():
            with SnapshotWriter(path, cutoff, version.width) as writer:
                for ids, vectors in iterate(version.snapshot_path(FIRST)):
                    writer.write(ids, np.roll(vectors, number, axis=1))
    store = ProfileStore(home)
    store.training_set(entities.head(10))  # so that both start with warm caches
    start = time.perf_counter()
    X = store.training_set(entities).X
    seconds = time.perf_counter() - start
    return Done(len(X), "rows", seconds, also={"checksum": zlib.crc32(X)})


def training_set_bare(place: Path, scale: float) -> Done:
    """Match each row's cutoff by the keys, then fetch the vectors, in DuckDB."""
    entities, version = _entities(scale), newest_version(_home(place))
    entities["row"] = np.arange(len(entities))
    bare = duckdb.connect()
    bare.execute("SET TimeZone = 'UTC'; SET enable_progress_bar = false")
    bare.read_parquet(f"{version.directory}/*.parquet").create_view("snapshots")
    bare.register("entities", entities)
    start = time.perf_counter()
    found = bare.sql(
        """WITH keys AS (SELECT client_id, event_timestamp FROM snapshots),
                matched AS (SELECT e.row, k.client_id, k.event_timestamp
                            FROM entities e ASOF JOIN keys k ON e.client_id = k.client_id
                                                 AND e.event_timestamp >= k.event_timestamp)
           SELECT m.row, s.embedding
           FROM matched m JOIN snapshots s USING (client_id, event_timestamp)"""
    ).to_arrow_reader(10_000)
    X = np.empty((len(entities), version.width), np.float32)
    for batch in found:
        vectors = batch["embedding"].flatten().to_numpy()
        X[batch["row"].to_numpy()] = vectors.reshape(-1, version.width)
    seconds = time.perf_counter() - start
    return Done(len(X), "rows", seconds, also={"checksum": zlib.crc32(X)})


STEPS: dict[str, Step] = {
    "assembly": Step(
        "profiles of 1066 numbers from twelve blocks",
        assembly,
        "copying the profiles",
        assembly_bare,
        {"seconds": 300, "peak_gb": 6},
        leaves="profiles",
    ),
    "publish": Step(
        "publish to SQLite",
        publish_all,
        f"Feast's `materialize` of {SLICE:,} clients at most",
        materialize,
        {"cpu_s_per_100k": 20, "peak_gb": 4},
        needs=("assembly",),
        leaves="profiles/feast",
    ),
    "lookup_sqlite": Step(
        f"lookup of one client (median of {LOOKUPS // 2:,})",
        lookup_sqlite,
        "a bare `sqlite3` read of the same bytes",
        bounds={"seconds": 0.0005, "p99_to_p50": 4, f"{MANY}_at_once_ms": 8},
        needs=("publish",),
    ),
    "lookup_redis": Step(
        "the same from Redis, published there before",
        lookup_redis,
        "a bare `HGET` of the same bytes",
        bounds={"seconds": 0.0008, "p99_to_p50": 4, f"{MANY}_at_once_ms": 8},
        needs=("publish",),
    ),
    "training_set": Step(
        f"training set from {CUTOFFS} cutoffs",
        training_set,
        "keys-first ASOF join in bare DuckDB",
        training_set_bare,
        {"seconds": 90, "peak_gb": 10, "ratio": 3},
        needs=("assembly",),
    ),
}
