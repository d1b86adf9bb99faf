"""A server sees publishes, prunes and stores that go away, without a restart."""

import shutil
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from pipelines.encode import encode
from pipelines.publish import publish
from pipelines.versions import rollback
from tests.pipelines.job import LAST, LATER
from tests.serving.running import running
from tests.store.redis_server import MISSING, PROGRAM, free_port, redis_server
from ubp_platform.home import Home
from ubp_platform.store.retrieval import ProfileStore

IDS = [*range(1, 40), 999_999]


def test_a_publish_is_seen_at_once(home: Home) -> None:
    with running(home) as server:
        before = server.ask("/v1/profiles/7").json
        assert before["cutoff"] == f"{LATER:%Y-%m-%d}T00:00:00+00:00"
        encode(home, [LAST])
        publish(home)
        after = server.ask("/v1/profiles/7").json
        assert after["cutoff"] == f"{LAST:%Y-%m-%d}T00:00:00+00:00"
        assert np.array_equal(
            np.array(after["vector"], np.float32), ProfileStore(home).lookup(7).vector
        )
        rollback(home, "v1")
        assert server.ask("/v1/profiles/7").json["version"] == "v1"
        metrics = server.ask("/metrics").body.decode()
        assert 'ubp_served_version{version="v1"} 1.0' in metrics


def test_before_the_first_publish_it_is_not_ready(unpublished: Home) -> None:
    with running(unpublished) as server:
        assert server.ask("/healthz").status == 200
        answer = server.ask("/v1/profiles/7")
        assert (answer.status, "ubp publish" in answer.json["detail"]) == (503, True)
        assert server.ask("/readyz").json == {"detail": "not ready: the server's log says why"}
        assert server.ask("/v1/versions").json == []
        assert server.ask("/v1/profiles/7?version=v1").status == 404


def test_no_answer_is_mixed_or_missing_while_versions_change(home: Home) -> None:
    encode(home, [LAST])  # of v2, whose profiles are of LATER
    stop, wrong, answers = threading.Event(), [], []

    def ask() -> None:
        while not stop.is_set():
            answer = server.ask("/v1/profiles", {"client_ids": IDS})
            if answer.status != 200:
                wrong.append((answer.status, answer.body[:200]))
                continue
            cutoffs = {one["cutoff"] for one in answer.json["profiles"]} - {None}
            answers.append((answer.json["version"], answer.json["publish"], *cutoffs))

    with running(home) as server:
        threads = [threading.Thread(target=ask) for _ in range(3)]
        for thread in threads:
            thread.start()
        for _ in range(3):
            publish(home, "v1")
            publish(home, "v2", everybody=True)
        stop.set()
        for thread in threads:
            thread.join()
    assert wrong == []
    assert {len(one) for one in answers} == {3}  # each is of one cutoff
    assert len({one[:2] for one in answers}) >= 3


@pytest.mark.skipif(PROGRAM is None, reason=MISSING)
def test_a_store_that_goes_away_and_comes_back(
    unpublished: Home,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    home, port = Home(home=shutil.copytree(unpublished.root, tmp_path / "home")), free_port()
    monkeypatch.setenv("UBP_ONLINE_STORE", "redis")
    monkeypatch.setenv("UBP_REDIS", f"127.0.0.1:{port},socket_timeout=2")
    with redis_server(tmp_path, port=port):
        publish(home)
        with running(home) as server:
            assert server.ask("/v1/profiles/7").json["known"] is True
    with running(home) as server:
        answer = server.ask("/v1/profiles/7")
        assert (answer.status, answer.headers["retry-after"]) == (503, "1")
        assert f"Redis at 127.0.0.1:{port}" in answer.json["detail"]
        # Nobody is told where the store is who has no key.
        assert (server.ask("/readyz").status, "127.0.0.1" in caplog.text) == (503, True)
        assert "127.0.0.1" not in server.ask("/readyz").body.decode()
        assert server.ask("/healthz").status == 200
        with redis_server(tmp_path, port=port):
            publish(home)
            assert server.ask("/v1/profiles/7").json["known"] is True
            time.sleep(1.1)  # an answer holds for a second
            assert server.ask("/readyz").status == 200
