"""Profiles over HTTP: the same numbers as a lookup, in each form."""

import json

import numpy as np
import pyarrow as pa
import pytest

from tests.serving.running import Running
from ubp_platform.home import Home
from ubp_platform.store.retrieval import ProfileStore

STRANGER = 999_999
ARROW = "application/vnd.apache.arrow.stream"
NUMBERS = "application/octet-stream"


@pytest.fixture(scope="module")
def store(published: Home) -> ProfileStore:
    return ProfileStore(published)


def test_json_has_the_numbers_of_a_lookup_bit_for_bit(server: Running, store: ProfileStore) -> None:
    answer = server.ask("/v1/profiles/7")
    mine, found = store.lookup(7), answer.json
    assert answer.status == 200
    assert answer.headers["content-type"] == "application/json"
    assert np.array_equal(np.array(found["vector"], np.float32), mine.vector)
    assert (found["client_id"], found["known"], found["version"]) == (7, True, "v2")
    assert found["cutoff"] == mine.cutoff.isoformat()
    assert found["age_seconds"] > 0
    assert found["publish"] == "p2"
    assert [one["width"] for one in found["blocks"]] == [part.width for part in store.version.parts]


def test_numbers_and_arrow_have_them_too(server: Running, store: ProfileStore) -> None:
    mine = store.lookup(7)
    numbers = server.ask("/v1/profiles/7", Accept=NUMBERS)
    assert np.array_equal(np.frombuffer(numbers.body, "<f4"), mine.vector)
    assert numbers.headers["x-ubp-version"] == "v2"
    assert numbers.headers["x-ubp-known"] == "true"
    assert numbers.headers["x-ubp-cutoff"] == mine.cutoff.isoformat()
    table = pa.ipc.open_stream(server.ask("/v1/profiles/7", Accept=ARROW).body).read_all()
    assert table.num_rows == 1
    assert np.array_equal(table["vector"][0].values.to_numpy(), mine.vector)


@pytest.mark.parametrize("accept", ["application/json", NUMBERS, ARROW])
def test_many_are_in_the_order_of_the_question(
    server: Running, store: ProfileStore, accept: str
) -> None:
    ids = [9, STRANGER, 3, 9]
    mine = store.lookup_many(ids)
    answer = server.ask("/v1/profiles", {"client_ids": ids}, Accept=accept)
    assert answer.status == 200
    if accept == ARROW:
        table = pa.ipc.open_stream(answer.body).read_all()
        found = np.stack([row.values.to_numpy() for row in table["vector"]])
        assert table["client_id"].to_pylist() == ids
        assert table["known"].to_pylist() == [True, False, True, True]
        assert table["cutoff"].to_pylist() == [one.cutoff for one in mine]
    elif accept == NUMBERS:
        width = int(answer.headers["x-ubp-width"])
        found = np.frombuffer(answer.body, "<f4").reshape(len(ids), width)
        assert answer.headers["x-ubp-known"] == "1011"
    else:
        profiles = answer.json["profiles"]
        found = np.array([one["vector"] for one in profiles], np.float32)
        assert [one["client_id"] for one in profiles] == ids
        assert [one["known"] for one in profiles] == [True, False, True, True]
        assert profiles[1]["cutoff"] is None
    assert np.array_equal(found, np.stack([one.vector for one in mine]))


def test_a_stranger_has_the_mean_profile(server: Running, store: ProfileStore) -> None:
    answer = server.ask(f"/v1/profiles/{STRANGER}")
    assert answer.status == 200
    assert answer.json["known"] is False
    assert np.array_equal(np.array(answer.json["vector"], np.float32), store.version.mean)


def test_parts_of_a_profile(server: Running, store: ProfileStore) -> None:
    (part,) = [part for part in store.version.parts if part.block == "counters"]
    vector = store.lookup(7).vector[part.start : part.start + part.width]
    answer = server.ask("/v1/profiles/7?blocks=counters")
    assert answer.json["blocks"] == [{"block": "counters", "width": part.width}]
    assert np.array_equal(np.array(answer.json["vector"], np.float32), vector)
    both = server.ask("/v1/profiles/7?blocks=handcrafted,counters").json
    assert [one["block"] for one in both["blocks"]] == [name for name, _ in store.version.widths]


@pytest.mark.parametrize("name", ["v1", "old"])
def test_a_version_by_its_name_or_tag(server: Running, published: Home, name: str) -> None:
    mine = ProfileStore(published, "v1").lookup(7)
    answer = server.ask(f"/v1/profiles/7?version={name}")
    assert answer.json["version"] == "v1"
    assert np.array_equal(np.array(answer.json["vector"], np.float32), mine.vector)


def test_versions_say_what_there_is(server: Running, store: ProfileStore) -> None:
    versions = {one["version"]: one for one in server.ask("/v1/versions").json}
    assert {name: one["served"] for name, one in versions.items()} == {"v1": False, "v2": True}
    assert versions["v1"]["tags"] == ["old"]
    assert versions["v2"]["width"] == store.version.width


@pytest.mark.parametrize(
    ("path", "body", "status", "words"),
    [
        ("/v1/profiles/abc", None, 422, "whole numbers, not 'abc'"),
        ("/v1/profiles/007", None, 422, "whole numbers"),
        ("/v1/profiles/99999999999999999999", None, 422, "whole numbers"),
        ("/v1/profiles/7?blocks=nothing", None, 422, "no block 'nothing'; it has"),
        ("/v1/profiles/7?version=v9", None, 404, "'v9' is online; there are: v1, v2, old"),
        ("/v1/profiles", {"client_ids": []}, 422, "at least 1"),
        ("/v1/profiles", {"client_ids": [1] * 1001}, 422, "at most 1000"),
        ("/v1/profiles", {"client_ids": [1.5]}, 422, "client_ids"),
        ("/v1/profiles", {"client_ids": [True]}, 422, "client_ids"),
        ("/v1/profiles", {"client_ids": [None]}, 422, "client_ids"),
        ("/v1/profiles", {"client_ids": "7"}, 422, "client_ids"),
        ("/v1/profiles", {"client_ids": [7], "more": 1}, 422, "more"),
        ("/v1/profiles", [7], 422, "body"),
        ("/v1/profiles", b"{", 422, "JSON"),
        ("/v1/profiles", b"\xff\xfe", 422, "JSON"),
        ("/v1/nothing", None, 404, "Not Found"),
        ("/v1/versions", {}, 405, "Method"),
        ("/v1/versions/", None, 404, "Not Found"),
        ("/v1/profiles/7%0A", None, 422, "whole numbers, not '7\\n'"),
    ],
)
def test_what_cannot_be_is_said_in_one_line(
    server: Running, path: str, body: object, status: int, words: str
) -> None:
    answer = server.ask(path, body)
    assert answer.status == status
    assert words in answer.json["detail"]
    assert "\n" not in answer.json["detail"]


def test_no_other_form_is_made_up(server: Running) -> None:
    answer = server.ask("/v1/profiles/7", Accept="image/png")
    assert answer.status == 406
    assert "application/json" in answer.json["detail"]


def test_the_description_names_every_path(server: Running) -> None:
    described = server.ask("/openapi.json").json
    assert set(described["paths"]) >= {"/v1/profiles", "/v1/profiles/{client_id}", "/v1/versions"}
    page = server.ask("/docs").body.decode()
    assert "http" not in page.replace("<!doctype html>", "")  # nothing is loaded from elsewhere
    for address in ("/static/docs/swagger-ui-bundle.js", "/static/docs.js"):
        assert server.ask(address).status == 200
        assert address in page


def test_json_is_what_it_says(server: Running) -> None:
    assert json.loads(server.ask("/healthz").body) == {"status": "alive"}
    assert server.ask("/readyz").json == {"status": "ready"}


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/v1/profiles/7", "/docs"])
def test_head_has_the_headers_alone(server: Running, path: str) -> None:
    answer = server.ask(path, method="HEAD")
    assert (answer.status, answer.body) == (200, b"")
    assert int(answer.headers["content-length"]) > 0


def test_a_large_question_is_no_large_header(server: Running) -> None:
    """However the network cuts it."""
    for spaces in (0, 60_000, 120_000, 250_000, 900_000):
        body = b'{"client_ids": [7' + b" " * spaces + b"]}"
        assert server.ask("/v1/profiles", body).status == 200
        head = b"POST /v1/profiles HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
        head += b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body)
        assert b" 200 " in server.send(head + body).partition(b"\r\n")[0]
    many = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n" * 2000
    last = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    assert server.send(many + last).count(b"HTTP/1.1 200 ") == 2001
