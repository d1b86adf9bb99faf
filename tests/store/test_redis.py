"""Specifics of Redis: its connection, its errors, and that it agrees with SQLite."""

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from redis import Redis

from pipelines.publish import publish
from pipelines.status import status
from tests.pipelines.commands import run_ubp
from tests.pipelines.job import FIT
from tests.store.redis_server import MISSING, PROGRAM, free_port, redis_server
from ubp_platform.blocks.snapshot import Snapshot
from ubp_platform.errors import UBPError
from ubp_platform.home import PROJECT_ROOT, Home
from ubp_platform.profile.listing import newest_version
from ubp_platform.store import configuration
from ubp_platform.store.redis import describe_server
from ubp_platform.store.retrieval import ProfileStore

SECRET = "hush#17"
#: The line of the template to edit.
SQLITE = next(
    line for line in configuration.TEMPLATE.read_text().splitlines() if "online_store: {" in line
)


@pytest.fixture
def locked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The host:port of the online store, a Redis that requires SECRET; UBP_REDIS contains both."""
    if PROGRAM is None:
        pytest.skip(MISSING)
    with redis_server(tmp_path, "--requirepass", SECRET) as address:
        monkeypatch.setenv("UBP_ONLINE_STORE", "redis")
        monkeypatch.setenv("UBP_REDIS", f"{address},password={SECRET},db=3")
        yield address


@pytest.fixture
def template(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An editable copy in place of ``feature_repo/feature_store.yaml``."""
    monkeypatch.delenv("UBP_ONLINE_STORE", raising=False)
    path = tmp_path / "feature_store.yaml"
    path.write_text(configuration.TEMPLATE.read_text())
    monkeypatch.setattr(configuration, "TEMPLATE", path)
    return path


def clients(home: Home) -> list[int]:
    ids: list[int] = Snapshot.read(newest_version(home).snapshot_path(FIT)).client_ids.tolist()
    return ids


def test_redis_and_sqlite_agree(home: Home, redis: Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    requested = [*clients(home), 10**12, -1]
    answers = []
    for kind in ("sqlite", "redis"):
        monkeypatch.setenv("UBP_ONLINE_STORE", kind)
        publish(home)
        found = ProfileStore(home).lookup_many(requested)
        answers.append(
            [(one.client_id, one.known, one.cutoff, one.vector.tobytes()) for one in found]
        )
    assert answers[0] == answers[1]
    assert redis.dbsize() == len(clients(home)) + 1  # and what is online
    monkeypatch.setenv("UBP_ONLINE_STORE", "sqlite")
    with pytest.raises(
        UBPError, match="v1 is online in redis, not in sqlite: set UBP_ONLINE_STORE"
    ):
        ProfileStore(home).lookup(1)
    assert status(home)["next"] == "ubp refresh && ubp publish"


def test_one_line_of_configuration_selects_redis(home: Home, redis: Redis, template: Path) -> None:
    template.write_text(template.read_text().replace(SQLITE, "online_store: redis"))
    publish(home)
    assert ProfileStore(home).lookup(clients(home)[0]).known
    assert redis.dbsize() == len(clients(home)) + 1


def test_the_long_form_accepts_options(
    home: Home, redis: Redis, redis_address: str, template: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    longer = "online_store: {type: redis, connection_string: '$THEIRS,db=1', key_ttl_seconds: 1000}"
    template.write_text(template.read_text().replace(SQLITE, longer))
    monkeypatch.setenv("THEIRS", redis_address)
    monkeypatch.setenv("UBP_REDIS", "nowhere.invalid:1")
    publish(home)
    assert ProfileStore(home).lookup(clients(home)[0]).known
    host, port = redis_address.split(":")
    with Redis(host, int(port), db=1) as client:
        assert 0 < client.ttl(client.randomkey()) <= 1000
    written = yaml.safe_load((home.feast / "feature_store.yaml").read_text())
    assert written["online_store"]["connection_string"] == "$THEIRS,db=1"
    assert written["online_store"]["skip_dedup"] is True


def test_passwords_stay_in_the_environment(
    home: Home, locked: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    outcome = run_ubp(capsys, "publish", "--home", home.root)
    assert outcome.code == 0, outcome.err
    assert SECRET not in outcome.out + outcome.err
    for file in home.feast.iterdir():
        assert SECRET.encode() not in file.read_bytes()
    wrong = "hush#18"
    monkeypatch.setenv("UBP_REDIS", f"{locked},password={wrong},db=3")
    outcome = run_ubp(capsys, "profile", clients(home)[0], "--home", home.root)
    assert outcome.code == 2
    assert f"Redis at {locked}, db 3: invalid username-password pair" in outcome.err
    assert "the server is running, but rejects this login" in outcome.err
    assert wrong not in outcome.err
    assert len(outcome.err.splitlines()) == 1


def test_a_missing_password(home: Home, locked: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UBP_REDIS", locked)
    with pytest.raises(UBPError, match="Authentication required; the server is running, but"):
        publish(home)


def test_tls_with_a_server_without_it(
    home: Home, redis: Redis, redis_address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    soon = "socket_connect_timeout=0.2,socket_timeout=0.2"
    monkeypatch.setenv("UBP_REDIS", f"{redis_address},ssl=true,{soon}")
    with pytest.raises(UBPError, match=r"UBP_REDIS asks for TLS \(ssl\): .* on this port"):
        publish(home)


def test_a_database_out_of_range(
    home: Home, redis: Redis, redis_address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UBP_REDIS", f"{redis_address},db=99")
    with pytest.raises(UBPError, match=f"Redis at {redis_address}, db 99: DB index is out of rang"):
        publish(home)


def test_feast_reads_published_profiles(home: Home, locked: str) -> None:
    """Feast's own command line, with the connection from the environment."""
    publish(home)
    client = clients(home)[0]
    feast = Path(sys.executable).with_name("feast")
    place = ["-c", PROJECT_ROOT / "feature_repo", "-f", home.feast / "feature_store.yaml"]
    features = ["-e", f"client_id={client}", "-f", "profile_v1_p1:embedding"]
    read = subprocess.run(
        [feast, *place, "get-online-features", *features], capture_output=True, text=True
    )
    assert read.returncode == 0, read.stderr
    printed = json.loads(read.stdout[read.stdout.index("{") :])
    assert printed["embedding"][0] == pytest.approx(
        ProfileStore(home).lookup(client).vector.tolist()
    )


def test_an_unreachable_server_is_named_in_one_line(
    home: Home, redis: Redis, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(home)
    unreachable = f"127.0.0.1:{free_port()}"
    monkeypatch.setenv("UBP_REDIS", f"{unreachable},password={SECRET}")
    for command in (("publish",), ("profile", clients(home)[0])):
        outcome = run_ubp(capsys, *command, "--home", home.root)
        assert outcome.code == 2
        (line,) = outcome.err.splitlines()
        assert f"error: Redis at {unreachable}: " in line
        assert "Connection refused; is it running, and is UBP_REDIS (host:port," in line
        assert SECRET not in line


def test_a_server_that_goes_away_and_comes_back(
    home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if PROGRAM is None:
        pytest.skip(MISSING)
    monkeypatch.setenv("UBP_ONLINE_STORE", "redis")
    client = clients(home)[0]
    with redis_server(tmp_path) as address:
        monkeypatch.setenv("UBP_REDIS", address)
        publish(home)
        store = ProfileStore(home)
        assert store.lookup(client).known
    with pytest.raises(UBPError, match=f"Redis at {address}: "):
        store.lookup(client)
    with redis_server(tmp_path, port=int(address.split(":")[1])):
        with pytest.raises(UBPError, match=r"profile v1 is not online in Redis at .* any more"):
            store.lookup(client)
        publish(home)
        assert store.lookup(client).known


def test_a_full_server_is_reported(home: Home, redis: Redis) -> None:
    redis.config_set("maxmemory", 1)
    try:
        with pytest.raises(UBPError, match=r"Redis at 127[^>]* > 'maxmemory'; it is full: raise"):
            publish(home)
    finally:
        redis.config_set("maxmemory", 0)


@pytest.mark.parametrize(
    ("connection", "message"),
    [
        (f"redis://:{SECRET}@localhost:6379/0", "is not of the form host:port,password"),
        ("localhost", "has a port from 1 to 65535, such as localhost:6379"),
        ("localhost:99999", "has a port from 1 to 65535"),
        ("localhost:0", "has a port from 1 to 65535"),
        ("localhost:abc", "has a port from 1 to 65535"),
        (f"password={SECRET}", "is not of the form host:port,password"),
        (f"localhost:6379,password=a,{SECRET}", "and a password contains no comma"),
        (f"localhost:6379,pasword={SECRET}", "an unknown option 'pasword'; usual ones"),
        ("localhost:6379,foo=1", "an unknown option 'foo'; usual ones"),
        ("localhost:6379,db=two", "db is a number, not 'two'"),
        ("localhost:6379,socket_timeout=5s", "socket_timeout is a number, not '5s'"),
    ],
)
def test_an_invalid_connection_string(
    home: Home, connection: str, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UBP_ONLINE_STORE", "redis")
    monkeypatch.setenv("UBP_REDIS", connection)
    with pytest.raises(UBPError, match=rf"UBP_REDIS\).*{message}") as error:
        publish(home)
    assert SECRET not in str(error.value)


@pytest.mark.parametrize("name", ["mysql", "Redis"])
def test_an_unknown_store(
    home: Home, name: str, template: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = f"{name!r} is not an online store; choose sqlite or redis$"
    monkeypatch.setenv("UBP_ONLINE_STORE", name)
    for command in (publish, status):
        with pytest.raises(UBPError, match=f"^UBP_ONLINE_STORE: {words}"):
            command(home)
    monkeypatch.delenv("UBP_ONLINE_STORE")
    template.write_text(template.read_text().replace(SQLITE, f"online_store: {name}"))
    for command in (publish, status):
        with pytest.raises(UBPError, match=f"^{template}: online_store: {words}"):
            command(home)


def test_the_long_form_accepts_other_stores(
    home: Home, template: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kind = "feast.infra.online_stores.sqlite.SqliteOnlineStore"
    longer = f"online_store: {{type: {kind}, path: '{home.root / 'theirs.db'}'}}"
    template.write_text(template.read_text().replace(SQLITE, longer))
    publish(home)
    assert (home.root / "theirs.db").exists()
    assert ProfileStore(home).lookup(clients(home)[0]).known
    assert status(home)["online_store"] == kind
    monkeypatch.setenv("UBP_ONLINE_STORE", kind)
    assert status(home)["online_store"] == kind


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("online_store: {type: redis, hosts: x}", "hosts: Extra inputs are not permitted"),
        ("online_store:", "`online_store` is missing"),
        ("online_store: {", "not a Feast configuration"),
    ],
)
def test_an_invalid_configuration(home: Home, template: Path, line: str, message: str) -> None:
    template.write_text(template.read_text().replace(SQLITE, line))
    with pytest.raises(UBPError, match=message):
        publish(home)


def test_a_server_is_described_without_its_secrets() -> None:
    assert describe_server(f"cache.shop:6379,password={SECRET}") == "Redis at cache.shop:6379"
    assert describe_server("a:1,b:2,ssl=true,db=2") == "Redis at a:1, b:2, db 2"


def test_a_cluster_by_the_long_form(home: Home, template: Path, tmp_path: Path) -> None:
    if PROGRAM is None:
        pytest.skip(MISSING)
    online = "{{type: redis, redis_type: redis_cluster, connection_string: '{}'}}"
    original = template.read_text()
    with redis_server(tmp_path, "--cluster-enabled", "yes") as address:
        host, port = address.split(":")
        with Redis(host, int(port)) as client:
            client.execute_command("CLUSTER ADDSLOTS", *range(16384))
            for _ in range(100):
                if client.cluster("info")["cluster_state"] == "ok":
                    break
                time.sleep(0.1)
        template.write_text(original.replace(SQLITE, f"online_store: {online.format(address)}"))
        publish(home)
        store = ProfileStore(home)
        assert [profile.known for profile in store.lookup_many([*clients(home), -1])] == [
            *[True] * len(clients(home)),
            False,
        ]
    with pytest.raises(UBPError, match=f"Redis at {address}: "):
        store.lookup(clients(home)[0])
