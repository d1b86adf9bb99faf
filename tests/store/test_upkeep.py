"""`ubp doctor` finds what is wrong, and repairs; `ubp prune` removes what nobody reads."""

import os
import shutil
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from unittest import mock

import pytest
from redis import Redis

from pipelines.doctor import examine, repair
from pipelines.encode import encode
from pipelines.prune import plan, prune
from pipelines.publish import publish
from pipelines.train import train
from tests.pipelines.commands import run_ubp
from tests.pipelines.job import FIT, LATER
from ubp_platform import files
from ubp_platform.errors import UBPError
from ubp_platform.home import Home
from ubp_platform.locks import alone, shared
from ubp_platform.profile.listing import get_version, versions
from ubp_platform.store.feature_store import write_configuration, write_registry
from ubp_platform.store.online import OnlineStore
from ubp_platform.store.retrieval import ProfileStore
from ubp_platform.store.served import Served


@pytest.fixture(scope="module")
def published(trained_home: Home, tmp_path_factory: pytest.TempPathFactory) -> Home:
    """A published home; tests change a copy."""
    copy = shutil.copytree(trained_home.root, tmp_path_factory.mktemp("published") / "home")
    home = Home(home=copy)
    publish(home)
    return home


@pytest.fixture
def home(published: Home, tmp_path: Path) -> Home:
    home = Home(home=shutil.copytree(published.root, tmp_path / "home"))
    write_configuration(home)  # with the paths of the copy
    write_registry(home, {"v1": "p1"})
    return home


def problems(home: Home) -> list[str]:
    return [finding.problem for finding in examine(home)]


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 4
    path.write_bytes(content)


def as_directory(path: Path) -> None:
    path.unlink()
    path.mkdir()


def test_a_home_in_order(published: Home) -> None:
    assert problems(published) == []


@pytest.mark.parametrize(
    ("name", "damage"),
    [
        ("home.json", lambda path: path.write_bytes(b"{")),
        ("warehouse.duckdb", lambda path: path.write_bytes(path.read_bytes()[:9000])),
        ("blocks/handcrafted/v1/block.json", Path.unlink),
        ("blocks/handcrafted/v1/weights.safetensors", flip),
        ("snapshots/handcrafted/v1/20220701T000000Z.parquet", flip),
        ("profiles/v1/profile.json", flip),
        ("profiles/v1/normalizers.safetensors", Path.unlink),
        ("profiles/v1/20220701T000000Z.parquet", flip),
        ("feast/served.json", flip),
        ("feast/feature_store.yaml", flip),
        ("feast/registry.db", Path.unlink),
        ("feast/served.json", Path.unlink),
        ("feast/served.json", as_directory),
        ("blocks/handcrafted/v1/block.json", as_directory),
        ("profiles/v1/20220701T000000Z.parquet", as_directory),
        ("warehouse.duckdb", Path.unlink),
        ("names/profiles/v1", Path.unlink),
    ],
)
def test_a_damaged_file_is_found(home: Home, name: str, damage: Callable[[Path], object]) -> None:
    damage(home.root / name)
    found = problems(home)
    assert any(str(home.root / name) in problem for problem in found)
    assert all("\n" not in problem for problem in found)


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("blocks/lightfm/{}/weights.safetensors", "is of another fit"),
        ("profiles/{}/normalizers.safetensors", "is of another profile"),
        ("profiles/{}/20220701T000000Z.parquet", "is made from other fits"),
    ],
)
def test_a_whole_file_in_another_ones_place_is_found(home: Home, name: str, problem: str) -> None:
    """Every checksum holds, but the file is that of the last version."""
    for seed in (1, 2):
        train(home, ["lightfm"], FIT, seed=seed)
    first, other = ("v1", "v2") if name.startswith("blocks") else ("v2", "v3")
    shutil.copy(home.root / name.format(other), home.root / name.format(first))
    assert any(problem in one for one in problems(home))
    with pytest.raises(UBPError, match=problem):
        encode(home, [LATER], "v2")
        publish(home, "v2")


def test_a_snapshot_under_another_time_is_not_read(home: Home) -> None:
    _, (later,) = encode(home, [LATER], "v1")
    shutil.copy(later.path, get_version(home, "v1").snapshot_path(FIT))
    with pytest.raises(UBPError, match="is of 2022-07-10 00:00: `ubp encode --cutoff 2022"):
        publish(home)
    assert any("is of 2022-07-10" in problem for problem in problems(home))


def test_profiles_that_are_served_and_lost_are_missed(home: Home) -> None:
    get_version(home, "v1").snapshot_path(FIT).unlink()
    assert any("lacks the profiles that are served" in problem for problem in problems(home))


def test_an_older_state_of_the_online_store_is_noticed(home: Home) -> None:
    online = home.feast / "online.db"
    before = online.read_bytes()
    publish(home)
    online.write_bytes(before)
    (problem,) = problems(home)
    assert "is of the publish p1, but p2 was the last" in problem


def test_a_copied_home_names_its_own_files(home: Home, tmp_path: Path) -> None:
    copied = Home(home=shutil.copytree(home.root, tmp_path / "copied"))
    assert all("from where this one was copied" in problem for problem in problems(copied))
    repair(examine(copied))
    assert problems(copied) == []
    assert str(copied.root) in (copied.feast / "feature_store.yaml").read_text()


def test_another_online_store_than_the_one_published_to_is_left_alone(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    served = Served.read(home)
    assert served
    served.model_copy(update={"online_store": "redis"}).write(home)
    monkeypatch.setenv("UBP_ONLINE_STORE", "sqlite")
    assert any("set UBP_ONLINE_STORE=redis" in problem for problem in problems(home))
    with pytest.raises(UBPError, match="set UBP_ONLINE_STORE=redis"):
        plan(home, 1)


@pytest.mark.parametrize("moment", ["publish", "prune"])
def test_rows_that_a_killed_process_did_not_remove_are_removed(home: Home, moment: str) -> None:
    """It is killed after it has announced that nobody reads them, before they are gone."""
    publish(home)  # p1 is the one before
    killed = mock.patch.object(OnlineStore, "drop", side_effect=KeyboardInterrupt)
    with killed, pytest.raises(KeyboardInterrupt):
        publish(home) if moment == "publish" else prune(home, plan(home, 1))
    publish(home)
    prune(home, plan(home, 1))
    with closing(sqlite3.connect(home.feast / "online.db")) as connection:
        found = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
    tables = [name for (name,) in found if "_profile_v1_p" in name]
    assert len(tables) == 1


def test_prune_keeps_every_fit_that_can_be_resumed(home: Home) -> None:
    directory = home.checkpoints / "lightfm"
    directory.mkdir(parents=True)
    for name in ("one", "other"):
        (directory / f"{name}.safetensors").write_bytes(b"")
    assert not [removal for removal in plan(home, 1) if "checkpoints" in removal.what]
    old, new = directory / "one.safetensors", directory / "other.safetensors"
    train(home, ["lightfm"], FIT)
    os.utime(new, (2**32, 2**32))
    assert [one.what for one in plan(home, 2) if "checkpoints" in one.what] == [str(old)]


def test_prune_waits_for_evaluations(home: Home) -> None:
    with ThreadPoolExecutor() as threads, shared(home, "evaluate"):
        waiting = threads.submit(lambda: alone(home).__enter__())
        with pytest.raises(TimeoutError):
            waiting.result(timeout=0.3)
        # Other evaluations do not wait.
        with shared(home, "evaluate"):
            pass


def test_online_and_offline_are_compared(home: Home) -> None:
    with closing(sqlite3.connect(home.feast / "online.db")) as connection, connection:
        connection.execute(
            "DELETE FROM ubp_profile_v1_p1 WHERE rowid = (SELECT min(rowid) FROM ubp_profile_v1_p1)"
        )
    (problem,) = problems(home)
    assert "only 79 of 80 clients are there: `ubp publish --all" in problem
    (home.feast / "online.db").unlink()
    (problem,) = problems(home)
    assert "profile v1 is not online in " in problem
    publish(home)
    assert problems(home) == []


def test_an_emptied_redis_is_found(home: Home, redis: Redis) -> None:
    publish(home)
    redis.delete(*redis.keys("*")[:30])
    (problem,) = problems(home)
    assert "clients are there" in problem or "is not online" in problem


def test_what_loses_nothing_is_repaired(
    home: Home, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "_SECONDS_TO_LOCK", 0)
    home.root.chmod(0o755)
    left = home.profiles / ".v2.0123456789abcdef.part"
    left.mkdir()
    flip(home.feast / "registry.db")
    (home.feast / "feature_store.yaml").unlink()
    assert run_ubp(capsys, "doctor", "--home", home.root).code == 3
    assert left.exists()
    outcome = run_ubp(capsys, "doctor", "--repair", "--home", home.root)
    assert outcome.code == 0, outcome.out
    assert not left.exists()
    assert home.root.stat().st_mode & 0o777 == 0o700
    assert examine(home) == repair([]) == []


@pytest.mark.parametrize("command", [["doctor"], ["prune"], ["prune", "--dry-run"]])
def test_without_a_home_there_is_nothing_to_look_after(
    command: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    outcome = run_ubp(capsys, *command, "--home", tmp_path / "none")
    assert (outcome.code, outcome.err.count("\n")) == (2, 1)


def test_prune_keeps_what_is_read(home: Home, online_store: str) -> None:
    """Three versions, of which the first is served."""
    for version, seed in (("v2", 1), ("v3", 2)):
        train(home, ["handcrafted"], FIT, seed=seed)
        publish(home, version)
    encode(home, [LATER], "v1")
    publish(home, "v1")
    publish(home, "v1")
    before = files.size(home.root)
    removals = plan(home, keep=1)
    listed = "\n".join(removal.what for removal in removals)
    assert f"{home.profiles / 'v2'} and its rows online" in listed
    assert str(home.blocks / "handcrafted" / "v2") in listed
    prune(home, removals)
    assert files.size(home.root) < before
    assert [version.name for version in versions(home)] == ["v1", "v3"]
    assert plan(home, keep=1) == []
    assert problems(home) == []
    for version in ("v1", "v3"):
        assert ProfileStore(home, version).lookup(1).known
    # A name is not given again.
    assert train(home, ["handcrafted"], FIT, seed=3).profile.name == "v4"


def test_prune_leaves_no_rows(home: Home, redis: Redis) -> None:
    publish(home)
    publish(home)
    train(home, ["handcrafted"], FIT, seed=1)
    publish(home)
    prune(home, plan(home, keep=1))
    fields = {field for key in redis.keys("*") for field in redis.hkeys(key)}
    views = {field for field in fields if field.startswith(b"_ts:")}
    assert views == {b"_ts:publications", b"_ts:profile_v2_p4"}


def paths(home: Home) -> list[Path]:
    """List all files but those that SQLite has beside an open one."""
    found = home.root.rglob("*.*")
    return sorted(path for path in found if not path.name.endswith(("-wal", "-shm")))


def test_a_dry_run_removes_nothing(home: Home, capsys: pytest.CaptureFixture[str]) -> None:
    train(home, ["handcrafted"], FIT, seed=1)
    publish(home)
    before = paths(home)
    outcome = run_ubp(capsys, "prune", "--keep", "1", "--dry-run", "--home", home.root)
    assert (outcome.code, outcome.err) == (0, "")
    assert "profiles/v1 and its rows online" in outcome.out.replace("\n", "")
    assert paths(home) == before
