"""A home with two published versions, and a server of it."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipelines.index import index
from pipelines.ingest import ingest
from pipelines.publish import publish
from pipelines.train import train
from pipelines.versions import tag
from tests.homes import copied
from tests.pipelines.deliveries import deliver
from tests.pipelines.job import FIT, LATER
from tests.serving.running import Running, running
from tests.shops import random_shop
from ubp_platform.home import Home


def shop_home(directory: Path) -> Home:
    home = Home(home=directory / "home")
    ingest(home, str(deliver(directory / "in", **random_shop(seed=5, clients=80))))
    train(home, ["handcrafted", "counters"], FIT)
    return home


@pytest.fixture(scope="session")
def unpublished(tmp_path_factory: pytest.TempPathFactory) -> Home:
    return shop_home(tmp_path_factory.mktemp("serving"))


@pytest.fixture(scope="session")
def published(unpublished: Home, tmp_path_factory: pytest.TempPathFactory) -> Home:
    """v1, which is tagged `old`, and v2, which is served."""
    directory = tmp_path_factory.mktemp("published")
    home = Home(home=shutil.copytree(unpublished.root, directory / "home"))
    publish(home)
    train(home, ["counters"], LATER)
    publish(home)
    index(home)
    tag(home, "v1", "old")
    return home


@pytest.fixture
def home(published: Home, tmp_path: Path) -> Home:
    """A copy for one test."""
    return copied(published, tmp_path)


@pytest.fixture(scope="module")
def server(published: Home) -> Iterator[Running]:
    """A server for tests that change nothing."""
    with running(published) as found:
        yield found
