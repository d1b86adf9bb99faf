"""A reader sees one publish, which was checked before, and a name stays what it is."""

import shutil
import sqlite3
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from redis import Redis

from pipelines.encode import encode
from pipelines.publish import publish
from pipelines.train import train
from tests.pipelines.job import FIT, LATER
from tests.processes import exit_code
from ubp_platform.blocks.snapshot import Snapshot
from ubp_platform.errors import UBPError
from ubp_platform.home import Home
from ubp_platform.profile.listing import get_version
from ubp_platform.store import joining, online
from ubp_platform.store.online import OnlineStore
from ubp_platform.store.published_profiles import PublishedProfiles
from ubp_platform.store.retrieval import ProfileStore
from ubp_platform.store.served import Served


def clients(home: Home) -> list[int]:
    found: list[int] = Snapshot.read(get_version(home, "v1").snapshot_path(FIT)).client_ids.tolist()
    return found


def files(home: Home) -> dict[Path, tuple[int, int]]:
    return {
        path: (path.stat().st_ino, path.stat().st_mtime_ns)
        for path in home.root.rglob("*")
        if path.is_file() and not path.name.endswith(("-wal", "-shm"))
    }


def test_readers_write_nothing(home: Home, tmp_path: Path) -> None:
    publish(home)
    train(home, ["handcrafted"], LATER)  # not published: it has no view in the registry
    moved = Home(home=shutil.copytree(home.root, tmp_path / "moved"))
    (moved.feast / "registry.db").write_bytes(b"damaged")
    before = files(moved)
    for version in (None, "v2"):
        store = ProfileStore(moved, version)
        rows = pd.DataFrame({"client_id": clients(home)[:3], "event_timestamp": LATER})
        assert store.training_set(rows).known.all()
    assert ProfileStore(moved).lookup(clients(home)[0]).known
    assert files(moved) == before


def test_reading_before_the_first_publish_creates_no_store(home: Home) -> None:
    with pytest.raises(UBPError, match="profile v1 is not online in "):
        ProfileStore(home).lookup(1)
    assert not home.feast.exists()


def test_a_lookup_of_many_is_of_one_publish(
    home: Home, online_store: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two publishes, and with them the removal of what was read, in the middle of a lookup."""
    publish(home)
    encode(home, [LATER])
    monkeypatch.setattr(online, "_ROWS", 10)
    read, seen = OnlineStore._of_message, []

    def publish_in_the_middle(self: OnlineStore, *row: object) -> object:
        seen.append(row)
        if len(seen) == 15:
            publish(home)
            publish(home)
        return read(self, *row)  # type: ignore[arg-type]

    store = ProfileStore(home)
    monkeypatch.setattr(OnlineStore, "_of_message", publish_in_the_middle)
    found = store.lookup_many(clients(home))
    assert len(seen) > 15
    assert {profile.cutoff for profile in found} == {LATER}


def test_a_training_set_is_of_one_state(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    path = get_version(home, "v1").snapshot_path(FIT)
    older = Snapshot.read(path)
    newer = replace(older, vectors=older.vectors + 1)
    rows = pd.DataFrame({"client_id": clients(home), "event_timestamp": LATER})
    join, seen = PublishedProfiles.join, []

    def replace_in_the_middle(self: PublishedProfiles, keys: pd.DataFrame) -> object:
        seen.append(keys)
        found = join(self, keys)
        if len(seen) == 2:
            newer.write(path)
        return found

    monkeypatch.setattr(joining, "_SLICE_BYTES", 0)
    store = ProfileStore(home)
    monkeypatch.setattr(PublishedProfiles, "join", replace_in_the_middle)
    rows = pd.concat([rows] * 40)
    found = store.training_set(rows)
    assert len(seen) > 3
    assert found.X[: len(newer.vectors)].tobytes() == newer.vectors.tobytes()
    assert found.X[-len(newer.vectors) :].tobytes() == newer.vectors.tobytes()


def publish_version(home: Home, name: str) -> None:
    publish(home, name)


def test_two_first_publishes_at_once_are_both_kept(home: Home) -> None:
    train(home, ["handcrafted"], LATER)
    with ThreadPoolExecutor() as pool:
        codes = [pool.submit(exit_code, publish_version, home, name) for name in ("v1", "v2")]
        assert [code.result() for code in codes] == [0, 0]
    served = Served.read(home)
    assert served is not None
    assert set(served.online) == set(served.publishes) == {"v1", "v2"}
    for name in ("v1", "v2"):
        assert ProfileStore(home, name).lookup(clients(home)[0]).known


def test_a_profile_that_changed_online_is_refused(home: Home) -> None:
    publish(home)
    with closing(sqlite3.connect(home.feast / "online.db")) as connection, connection:
        query = "SELECT entity_key, value FROM ubp_profile_v1_p1"
        key, value = connection.execute(query).fetchall()[3]
        flipped = value[:40] + bytes([value[40] ^ 8]) + value[41:]
        update = "UPDATE ubp_profile_v1_p1 SET value = ? WHERE entity_key = ?"
        connection.execute(update, (flipped, key))
    with pytest.raises(UBPError, match=r"online.db: the profile of client \d+ is damaged: `ubp p"):
        ProfileStore(home).lookup_many(clients(home))
    publish(home)
    assert ProfileStore(home).lookup(clients(home)[0]).known


def test_a_publish_that_did_not_arrive_is_not_served(
    home: Home, online_store: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(home)
    encode(home, [LATER])
    write = OnlineStore.write

    def lose_some(self: OnlineStore, view: object, ids: list, at: object, vectors: object) -> None:
        write(self, view, ids[5:], at, vectors[5:])  # type: ignore[arg-type, index]

    monkeypatch.setattr(OnlineStore, "write", lose_some)
    with pytest.raises(UBPError, match=r"does not hold what was just written: only \d+ of \d+ cli"):
        publish(home)
    assert {found.cutoff for found in ProfileStore(home).lookup_many(clients(home))} == {FIT}


def test_a_redis_that_drops_keys_is_pointed_out(home: Home, redis: Redis) -> None:
    redis.config_set("maxmemory", 300_000_000)
    redis.config_set("maxmemory-policy", "allkeys-lru")
    try:
        with pytest.warns(UserWarning, match=r"\(maxmemory-policy allkeys-lru\).*set noeviction"):
            publish(home)
    finally:
        redis.config_set("maxmemory", 0)
        redis.config_set("maxmemory-policy", "noeviction")


def test_a_removed_fit_keeps_its_name(home: Home) -> None:
    """A new fit is not v1 again, and the profile of the old one is not made with it."""
    shutil.rmtree(home.blocks / "handcrafted" / "v1")
    with pytest.raises(UBPError, match=r"handcrafted/v1/block.json is missing: `ubp train handcr"):
        encode(home, [LATER])
    other = train(home, ["handcrafted"], FIT, seed=7)
    assert {fit.version for fit in other.fitted} == {"v2"}
    assert other.profile.name == "v2"
    with pytest.raises(UBPError, match=r"block\.json is missing"):
        encode(home, [LATER], "v1")
    # The same fit again, under whatever name, is what v1 was made of.
    assert {fit.version for fit in train(home, ["handcrafted"], FIT).fitted} == {"v3"}
    _, (encoded,) = encode(home, [LATER], "v1")
    assert np.isfinite(Snapshot.read(encoded.path).vectors).all()


def test_a_removed_profile_keeps_its_name(home: Home) -> None:
    publish(home)
    shutil.rmtree(home.profiles / "v1")
    assert train(home, ["handcrafted"], FIT).profile.name == "v2"
    with pytest.raises(UBPError, match="no profile version is called 'v1'; there are: v2"):
        ProfileStore(home)
    publish(home)
    assert ProfileStore(home).version.name == "v2"


PLAIN = """
import sys
sys.modules["ubp_platform"] = None  # importing it fails
from feast import FeatureStore
store = FeatureStore(fs_yaml_file=sys.argv[1])
found = store.get_online_features(
    store.get_feature_service("profile_v1"), [{"client_id": int(sys.argv[2])}]
).to_dict()
print(len(found["embedding"][0]))
"""


def test_plain_feast_reads_online_without_this_package(home: Home) -> None:
    publish(home)
    arguments = [str(home.feast / "feature_store.yaml"), str(clients(home)[0])]
    done = subprocess.run(
        [sys.executable, "-c", PLAIN, *arguments], capture_output=True, text=True, cwd=home.root
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) == get_version(home, "v1").width
