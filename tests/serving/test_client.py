"""The client: the same numbers, patience with a server that is away, and its words."""

import subprocess
import sys
import threading
import time
from pathlib import Path

import httpx2
import numpy as np
import pytest

from pipelines.ingest import ingest
from pipelines.publish import publish
from pipelines.train import train
from tests.pipelines.deliveries import deliver
from tests.pipelines.job import FIT
from tests.serving.running import Running, running
from tests.shops import random_shop
from ubp_platform.client import Profiles
from ubp_platform.home import Home
from ubp_platform.serving.keys import create_key
from ubp_platform.store.retrieval import ProfileStore


def client(server: Running, **options: str) -> Profiles:
    return Profiles(f"http://127.0.0.1:{server.port}", **options)


def test_the_numbers_of_a_lookup(server: Running, published: Home) -> None:
    store = ProfileStore(published)
    one = client(server).get(7)
    assert np.array_equal(one.vector, store.lookup(7).vector)
    assert (one.known.tolist(), one.version, one.publish) == ([True], "v2", "p2")
    ids = [*range(1, 81), 999_999] * 30  # more than one request may have
    many = client(server).get_many(ids)
    assert np.array_equal(many.vectors, np.stack([one.vector for one in store.lookup_many(ids)]))
    assert many.known.tolist() == [one != 999_999 for one in ids]
    old = client(server, version="old", blocks="counters").get(999_999)
    assert (old.version, old.known.tolist()) == ("v1", [False])
    assert old.vector.flags.writeable


def test_a_refusal_has_the_words_of_the_server(home: Home) -> None:
    with running(home) as server:
        with pytest.raises(httpx2.HTTPStatusError, match=r"422: .*whole numbers, not 'abc'"):
            client(server).get("abc")
        with pytest.raises(httpx2.HTTPStatusError, match="at least 1"):
            client(server).get_many([])
        key = create_key(home, "shop")
        with pytest.raises(httpx2.HTTPStatusError, match=r"401: .*a key is needed"):
            client(server).get(7)
        assert client(server, key=key).get(7).known[0]


def test_a_server_that_comes_later_is_waited_for(home: Home) -> None:
    with running(home) as server:
        port = server.port
    found = []
    asking = threading.Thread(
        target=lambda: found.append(Profiles(f"http://127.0.0.1:{port}", tries=50).get(7))
    )
    asking.start()
    time.sleep(0.3)
    with running(home, at=port):
        asking.join()
    assert found[0].known[0]
    with pytest.raises(httpx2.ConnectError):
        Profiles(f"http://127.0.0.1:{port}", tries=2).get(7)


def test_ids_are_text_that_a_url_cannot_have(tmp_path: Path) -> None:
    names = ["a/b", "ü ñ", "50%", "x?y#z", "../..", "a%2Fb", "+"]
    shop = random_shop(seed=5, clients=len(names))
    for table in shop.values():
        if "client_id" in table:
            table["client_id"] = [names[one - 1] for one in table["client_id"]]
    home = Home(home=tmp_path / "home")
    ingest(home, str(deliver(tmp_path / "in", **shop)))
    train(home, ["counters"], FIT)
    publish(home)
    store = ProfileStore(home)
    with running(home) as server:
        for name in names:
            found = client(server).get(name)
            assert found.known[0], name
            assert np.array_equal(found.vector, store.lookup(name).vector)
        assert client(server).get_many([*names, "nobody"]).known.tolist() == [True] * 7 + [False]


def test_it_takes_neither_feast_nor_torch() -> None:
    program = (
        "import sys, ubp_platform.client; "
        "print({'feast', 'torch', 'duckdb', 'pandas'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout.strip() == "set()", done.stderr
