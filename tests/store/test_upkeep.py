"""`ubp doctor` finds what is wrong, and repairs; `ubp prune` removes what nobody reads."""

import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

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
from ubp_platform.home import Home
from ubp_platform.profile.version import versions
from ubp_platform.store.feature_store import write_registry
from ubp_platform.store.retrieval import ProfileStore


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
    write_registry(home, {"v1": "p1"})  # with the paths of the copy
    return home


def problems(home: Home) -> list[str]:
    return [finding.problem for finding in examine(home)]


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 4
    path.write_bytes(content)


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
    ],
)
def test_a_damaged_file_is_found(home: Home, name: str, damage: Callable[[Path], object]) -> None:
    damage(home.root / name)
    found = problems(home)
    assert any(str(home.root / name) in problem for problem in found)
    assert all("\n" not in problem for problem in found)


def test_online_and_offline_are_compared(home: Home) -> None:
    with closing(sqlite3.connect(home.feast / "online.db")) as connection, connection:
        connection.execute(
            "DELETE FROM ubp_profile_v1_p1 WHERE rowid = (SELECT min(rowid) FROM ubp_profile_v1_p1)"
        )
    (problem,) = problems(home)
    assert "only 79 of 80 clients are there: `ubp publish --profile-version v1` writes" in problem
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


def test_a_dry_run_removes_nothing(home: Home, capsys: pytest.CaptureFixture[str]) -> None:
    train(home, ["handcrafted"], FIT, seed=1)
    publish(home)
    before = sorted(home.root.rglob("*.*"))
    outcome = run_ubp(capsys, "prune", "--keep", "1", "--dry-run", "--home", home.root)
    assert (outcome.code, outcome.err) == (0, "")
    assert "profiles/v1 and its rows online" in outcome.out.replace("\n", "")
    assert sorted(home.root.rglob("*.*")) == before
