"""A home that is not published yet, and online stores to publish it to."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from redis import Redis

from pipelines.ingest import ingest
from pipelines.train import train
from tests.pipelines.deliveries import deliver
from tests.pipelines.job import FIT
from tests.shops import random_shop
from tests.store.redis_server import MISSING, PROGRAM, redis_server
from ubp_platform.home import Home


@pytest.fixture(scope="session")
def trained_home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """A home with a profile version of handcrafted features as of FIT; tests change a copy."""
    directory = tmp_path_factory.mktemp("trained")
    home = Home(home=directory / "home")
    ingest(home, str(deliver(directory / "delivery", **random_shop(seed=5, clients=80))))
    train(home, ["handcrafted"], FIT)
    return home


@pytest.fixture
def home(trained_home: Home, tmp_path: Path) -> Home:
    """A copy for one test."""
    return Home(home=shutil.copytree(trained_home.root, tmp_path / "home"))


@pytest.fixture(scope="session")
def redis_address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The host:port of a Redis server for all tests."""
    if PROGRAM is None:
        pytest.skip(MISSING)
    with redis_server(tmp_path_factory.mktemp("redis")) as address:
        yield address


@pytest.fixture
def redis(redis_address: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Redis]:
    """An empty Redis as the online store of a test."""
    monkeypatch.setenv("UBP_ONLINE_STORE", "redis")
    monkeypatch.setenv("UBP_REDIS", redis_address)
    host, port = redis_address.split(":")
    with Redis(host, int(port)) as client:
        client.flushall()
        yield client


@pytest.fixture(params=["sqlite", "redis"])
def online_store(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Each online store in turn, empty."""
    if request.param == "redis":
        request.getfixturevalue("redis")
    else:
        monkeypatch.setenv("UBP_ONLINE_STORE", request.param)
    return str(request.param)
