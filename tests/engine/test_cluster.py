"""What a cluster gives is what one process gives, bit for bit, also where workers are lost."""

import random
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

pytest.importorskip("ray")

import ray
from ray.cluster_utils import Cluster

from benchmarks.cluster.nodes import Killer
from pipelines.audit import audit
from pipelines.encode import encode
from pipelines.index import index
from pipelines.ingest import ingest
from pipelines.lake import lake
from pipelines.publish import publish
from pipelines.refresh import refresh
from pipelines.train import train
from tests.pipelines.deliveries import deliver
from tests.pipelines.job import FIT, day
from tests.pipelines.tiny import tiny_presets
from tests.shops import random_shop
from tests.store.redis_server import MISSING, PROGRAM, redis_server
from ubp_platform.blocks.registry import block_names
from ubp_platform.blocks.snapshot import Snapshot
from ubp_platform.engine.base import HERE, Engine
from ubp_platform.engine.ray_engine import RayEngine
from ubp_platform.errors import DamagedFile, UBPError
from ubp_platform.home import Home
from ubp_platform.lake.manifest import Manifest
from ubp_platform.lake.opening import place_of
from ubp_platform.profile import bucket_work
from ubp_platform.similar import vectors
from ubp_platform.store.retrieval import ProfileStore

pytestmark = pytest.mark.heavy
SHOP = random_shop(seed=5, clients=80, events=1500)
EARLIER = day("2022-06-20")
CHEAP = ("ials_page_visits", "lightfm", "handcrafted")


def with_text_ids(tables: dict[str, pd.DataFrame]) -> dict[str, pd.DataFrame]:
    """The same shop, whose clients' ids are text."""
    return {
        name: frame.assign(client_id="c" + frame["client_id"].astype(str).str.zfill(4))
        if "client_id" in frame
        else frame
        for name, frame in tables.items()
    }


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """A Ray cluster of two nodes, of one CPU each."""
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    cluster.add_node(num_cpus=1)
    yield cluster
    ray.shutdown()
    cluster.shutdown()


@pytest.fixture
def engine(cluster: Cluster) -> RayEngine:
    """The engine on that cluster."""
    found = RayEngine(cluster.address)
    assert found.workers >= 2  # a lost node is counted until its loss is noticed
    return found


@pytest.fixture(autouse=True)
def _a_bucket_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """A shop this small would be one task."""
    monkeypatch.setattr(bucket_work, "_CLIENTS", 1)


@pytest.fixture(scope="module")
def fitted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    """A home with all blocks, profiles of a cutoff, and a lake of six buckets."""
    directory = tmp_path_factory.mktemp("fitted")
    home = Home(directory / "home")
    before = pd.Timestamp(FIT.replace(tzinfo=None))
    early = {
        name: frame[frame["timestamp"] < before] if "timestamp" in frame else frame
        for name, frame in with_text_ids(SHOP).items()
    }
    ingest(home, str(deliver(directory / "delivery", **early)))
    with tiny_presets(directory):
        train(home, block_names(), FIT)
        lake(home, bucket_clients=15)
        yield home


def copied(home: Home, tmp_path: Path, encoded: bool = True) -> Home:
    """A copy, without what was encoded if that is wanted."""
    found = Home(shutil.copytree(home.root, tmp_path / "home"))
    for path in () if encoded else (found.snapshots, found.profiles, found.root / "names"):
        shutil.rmtree(path)
    return found


def vectors_of(home: Home) -> dict[str, tuple[list[int], bytes]]:
    """The clients and the bits of every snapshot."""
    paths = sorted([*home.snapshots.rglob("*.parquet"), *home.profiles.glob("*/*.parquet")])
    read = {str(path.relative_to(home.root)): Snapshot.read(path) for path in paths}
    return {name: (one.client_ids.tolist(), one.vectors.tobytes()) for name, one in read.items()}


def test_all_blocks_give_the_same_bits(fitted: Home, tmp_path: Path, engine: RayEngine) -> None:
    home = copied(fitted, tmp_path, encoded=False)
    train(home, block_names(), FIT, engine=engine)
    found = vectors_of(home)
    assert len(found) == len(block_names()) + 1
    assert found == vectors_of(fitted)
    assert not home.unfinished_buckets.exists() or not [*home.unfinished_buckets.iterdir()]
    encode(home, [EARLIER], engine=engine)
    plain = copied(fitted, tmp_path / "plain")
    encode(plain, [EARLIER])
    assert vectors_of(home) == vectors_of(plain)


def later_delivery(directory: Path) -> str:
    after = pd.Timestamp(FIT.replace(tzinfo=None))
    shop = with_text_ids(SHOP)
    some = {
        name: frame[(frame["timestamp"] >= after) & (frame["client_id"] < "c0030")]
        for name, frame in shop.items()
        if "timestamp" in frame
    }
    return str(deliver(directory / "later", **some))


def test_a_refresh_gives_the_same_bits(fitted: Home, tmp_path: Path, engine: RayEngine) -> None:
    found = {}
    for name, one in (("plain", HERE), ("ray", engine)):
        home = copied(fitted, tmp_path / name)
        ingest(home, later_delivery(tmp_path / name))
        refreshed = refresh(home, max_age=timedelta(90), engine=one)
        assert not refreshed.whole
        assert refreshed.clients > 20
        found[name] = vectors_of(home)
    assert found["ray"] == found["plain"]


@pytest.mark.skipif(PROGRAM is None, reason=MISSING)
def test_what_is_served_is_the_same(
    fitted: Home,
    tmp_path: Path,
    engine: RayEngine,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(vectors, "EXACT", 10)
    monkeypatch.setattr(vectors, "_IN_PIECE", 20)
    clients = [f"c{number:04}" for number in range(90)]
    found: dict[str, Any] = {}
    with redis_server(tmp_path) as server:
        monkeypatch.setenv("UBP_ONLINE_STORE", "redis")
        monkeypatch.setenv("UBP_REDIS", server)
        for name, one in (("plain", HERE), ("ray", engine)):
            home = copied(fitted, tmp_path / name)
            publish(home, engine=one)
            index(home, engine=one)
            online = ProfileStore(home).lookup_many(clients)
            files = sorted((home.profiles / "v1" / "similar").glob("*.faiss"))
            found[name] = (
                [(each.known, each.cutoff, each.vector.tobytes()) for each in online],
                [file.read_bytes() for file in files],
            )
            result = audit(home, engine=one)
            rows = pd.DataFrame(
                {"client_id": clients * 2, "event_timestamp": [FIT, day("2022-08-01")] * 90}
            )
            joined = ProfileStore(home).training_set(rows, engine=one)
            found[name] += (joined.X.tobytes(), joined.known.tolist())
            assert result.computed == sum(each.known for each in online)
            assert not result.differences
        assert found["ray"] == found["plain"]
        assert any(known for known, _, _ in found["ray"][0])
        assert found["ray"][1]
        assert any(found["ray"][3])


def test_a_run_that_was_ended_goes_on(fitted: Home, tmp_path: Path, engine: RayEngine) -> None:
    home = copied(fitted, tmp_path, encoded=False)
    done: list[str] = []

    class Counting(Engine):
        reads_lake = True

        def __init__(self, most: int) -> None:
            self.most = most

        def in_order(self, work: Callable, items: Any) -> Iterator:
            return engine.in_order(work, items)

        def as_finished(self, work: Callable, items: Any) -> Iterator:
            for number, (item, result) in enumerate(engine.as_finished(work, items)):
                if number == self.most:
                    raise KeyboardInterrupt
                done.append(str(item))
                yield item, result

    with pytest.raises(KeyboardInterrupt):
        train(home, CHEAP, FIT, engine=Counting(2))
    damaged = next(home.unfinished_buckets.glob("*/*.npz"))
    content = bytearray(damaged.read_bytes())
    content[len(content) // 2] ^= 255
    damaged.write_bytes(content)
    train(home, CHEAP, FIT, engine=Counting(100))
    buckets = Manifest.read(place_of(home)).buckets  # type: ignore[union-attr]
    assert len({*done}) == len(buckets)
    assert len(done) == len(buckets) + 1  # that of the damaged part, again
    expected = vectors_of(fitted)
    found = vectors_of(home)
    for name in CHEAP:
        [path] = [one for one in found if f"/{name}/" in one]
        assert found[path] == expected[path]


def test_killed_workers_change_nothing(
    fitted: Home, tmp_path: Path, engine: RayEngine, capfd: pytest.CaptureFixture[str]
) -> None:
    home = copied(fitted, tmp_path, encoded=False)
    with Killer(random.Random(1), 3) as killer:
        while not killer.killed:  # not before the first worker has begun
            shutil.rmtree(home.snapshots, ignore_errors=True)
            shutil.rmtree(home.profiles, ignore_errors=True)
            shutil.rmtree(home.root / "names", ignore_errors=True)
            train(home, block_names(), FIT, engine=engine)
    assert vectors_of(home) == vectors_of(fitted)
    assert capfd.readouterr().out == ""


def test_errors_name_the_bucket_and_the_way_out(
    fitted: Home, tmp_path: Path, engine: RayEngine
) -> None:
    home = copied(fitted, tmp_path, encoded=False)
    manifest = Manifest.read(place_of(home))
    assert manifest
    file = home.lake / manifest.buckets[3].files[0].name
    whole = file.read_bytes()
    file.write_bytes(whole[:-50] + bytes(50))
    with pytest.raises(DamagedFile, match=r"bucket 3 of the lake: .*`ubp lake --anew`"):
        train(home, CHEAP, FIT, engine=engine)
    file.write_bytes(whole)
    train(home, CHEAP, FIT, engine=engine)


def test_a_lost_node_changes_nothing(fitted: Home, tmp_path: Path, cluster: Cluster) -> None:
    engine = RayEngine(cluster.address)
    home = copied(fitted, tmp_path, encoded=False)
    lake(home, bucket_clients=4)
    lost = cluster.add_node(num_cpus=1)
    timer = threading.Timer(8, lambda: cluster.remove_node(lost, allow_graceful=False))
    timer.start()
    train(home, block_names(), FIT, engine=engine)
    timer.join()
    assert vectors_of(home) == vectors_of(fitted)


def test_an_address_without_a_cluster_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    with pytest.raises(UBPError, match=r"no Ray cluster that can be used answers at 127.0.0.1:9"):
        RayEngine("127.0.0.1:9")


def test_results_come_in_order_whatever_takes_long(engine: RayEngine) -> None:
    def slow(number: int) -> int:
        time.sleep(0.2 if number % 3 == 0 else 0)
        return number * number

    assert [*engine.in_order(slow, range(12))] == [n * n for n in range(12)]
    assert sorted(engine.as_finished(slow, range(12))) == [(n, n * n) for n in range(12)]
    assert np.array([*engine.in_order(slow, [])]).size == 0


def test_a_store_that_comes_back_is_asked_again(engine: RayEngine, tmp_path: Path) -> None:
    def write(number: int) -> int:
        from ubp_platform.errors import StoreUnavailable

        tries = tmp_path / str(number)
        tries.write_text((tries.read_text() if tries.exists() else "") + ".")
        if len(tries.read_text()) < 3:
            raise StoreUnavailable("not yet")
        return number

    assert [*engine.in_order(write, range(3))] == [0, 1, 2]
    assert {path.read_text() for path in tmp_path.iterdir()} == {"..."}


def test_errors_of_a_task_end_the_others(engine: RayEngine) -> None:
    def refuse(number: int) -> int:
        from ubp_platform.errors import BlockUnavailable

        if number == 3:
            raise BlockUnavailable("three is refused")
        return number

    with pytest.raises(UBPError, match=r"^3: three is refused$") as caught:
        list(engine.in_order(refuse, range(100)))
    assert caught.type.__name__ == "BlockUnavailable"

    def broken(number: int) -> int:
        return 1 // number

    with pytest.raises(ZeroDivisionError):
        list(engine.as_finished(broken, range(3)))
