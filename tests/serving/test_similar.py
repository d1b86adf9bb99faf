"""Similar clients over HTTP: as the library finds them, and mistakes in one line."""

import pytest

from pipelines.index import index
from tests.serving.running import Running, running
from ubp_platform.home import Home
from ubp_platform.serving.keys import create_key
from ubp_platform.store.retrieval import ProfileStore


def test_as_the_library_finds_them(server: Running, published: Home) -> None:
    answer = server.ask("/v1/clients/3/similar?k=4&filter=buy_total>=1&filter=last_days<60")
    assert answer.status == 200
    store = ProfileStore(published)
    expected = store.similar(3, 4, filters=["buy_total>=1", "last_days<60"])
    similar = answer.json["similar"]
    assert [one["client_id"] for one in similar] == [
        one.client.client_id for one in expected.neighbours
    ]
    assert [one["similarity"] for one in similar] == [one.similarity for one in expected.neighbours]
    assert answer.json["version"] == "v2"
    assert answer.json["publish"] == expected.publication.publish
    assert similar[0]["events"] > 0
    assert similar[0]["last_event"].endswith("Z")


def test_of_a_segment_and_of_a_vector(server: Running, published: Home) -> None:
    segment = server.ask("/v1/similar", {"client_ids": [3, "5"], "k": 3}).json["similar"]
    assert len(segment) == 3
    assert not {3, 5} & {one["client_id"] for one in segment}
    vector = ProfileStore(published).lookup(3).vector
    found = server.ask("/v1/similar", {"vector": vector.tolist(), "k": 1}).json["similar"]
    assert found[0]["client_id"] == 3
    assert found[0]["similarity"] == pytest.approx(1)


@pytest.mark.parametrize(
    ("path", "body", "status", "said"),
    [
        ("/v1/clients/99999/similar", None, 422, "client '99999' has no profile"),
        ("/v1/clients/abc/similar", None, 422, "whole numbers, not 'abc'"),
        ("/v1/clients/3/similar?k=0", None, 422, "greater than or equal to 1"),
        ("/v1/clients/3/similar?k=9999", None, 422, "less than or equal to 1000"),
        ("/v1/clients/3/similar?filter=oops", None, 422, "'oops' is no condition"),
        ("/v1/clients/3/similar?filter=buys>3", None, 422, "there is no 'buys' to filter by"),
        ("/v1/clients/3/similar?blocks=counters", None, 422, "ubp index --by counters"),
        ("/v1/clients/3/similar?blocks=nothing", None, 422, "has no block 'nothing'"),
        ("/v1/clients/3/similar?version=v9", None, 404, "no profile version 'v9' is online"),
        ("/v1/clients/3/similar?version=old", None, 404, "ubp index --profile-version v1"),
        ("/v1/clients/3/similar?filters=events>1", None, 422, "there is no parameter 'filters'"),
        ("/v1/similar?k=3", {"client_ids": [3]}, 422, "there is no parameter 'k'"),
        ("/v1/profiles/3?block=counters", None, 422, "block: Extra inputs are not permitted"),
        ("/v1/similar", {}, 422, "one of the two"),
        ("/v1/similar", {"client_ids": [1], "vector": [1]}, 422, "one of the two"),
        ("/v1/similar", {"vector": [1, 2]}, 422, "the vector has 2 numbers"),
        ("/v1/similar", {"vector": []}, 422, "the vector has 0 numbers"),
        ("/v1/similar", {"client_ids": [1], "size": 3}, 422, "Extra inputs"),
        ("/v1/similar", {"client_ids": [1] * 2000}, 422, "at most 1000 items"),
    ],
)
def test_mistakes(server: Running, path: str, body: object, status: int, said: str) -> None:
    answer = server.ask(path, body)
    assert answer.status == status
    assert said in answer.json["detail"]


def test_a_body_is_json(server: Running) -> None:
    for path in ("/v1/similar", "/v1/profiles"):
        body, form = b'{"client_ids": [3]}', "application/x-www-form-urlencoded"
        answer = server.ask(path, body, Content_Type=form)
        assert answer.status == 422
        assert answer.json["detail"] == "send the body with Content-Type: application/json"


def test_one_question_changes_no_other(server: Running) -> None:
    def asked(filters: str) -> list[object]:
        answer = server.ask(f"/v1/clients/3/similar?k=1000{filters}")
        return [one["client_id"] for one in answer.json["similar"]]

    before = asked("&filter=buy_30d>=1")
    assert before
    for other in ("&filter=last_days<3", "&filter=last_days<-5", "&filter=category=1", ""):
        asked(other)
    assert asked("&filter=buy_30d>=1") == before


def test_huge_numbers_are_refused(server: Running, published: Home) -> None:
    width = ProfileStore(published).version.width
    for vector in ([1e300] * width, [1e39] * width, [0] * width):
        answer = server.ask("/v1/similar", {"vector": vector})
        assert answer.status == 422
    vector = ProfileStore(published).lookup(3).vector.astype(float)
    expected = server.ask("/v1/similar", {"vector": vector.tolist()}).json["similar"]
    for scale in (1e-9, 1e-30, 1e30, 1e37):
        found = server.ask("/v1/similar", {"vector": (scale * vector).tolist()}).json["similar"]
        assert [one["client_id"] for one in found] == [one["client_id"] for one in expected]
        assert found[0]["similarity"] == pytest.approx(1, abs=1e-4)


def test_a_new_index_is_seen_without_a_restart(home: Home) -> None:
    with running(home) as server:
        path = "/v1/clients/3/similar?blocks=counters"
        assert server.ask(path).status == 422
        index(home, by=["counters"])
        assert server.ask(path).json["blocks"] == ["counters"]


def test_the_newest_event_is_a_metric(server: Running, published: Home) -> None:
    lines = server.ask("/metrics").body.decode().splitlines()
    (line,) = [one for one in lines if one.startswith("ubp_served_newest_event_seconds ")]
    facts = ProfileStore(published).similar_search.indexes.state().facts
    assert facts.newest_event
    assert float(line.split()[1]) == pytest.approx(facts.newest_event.timestamp())
    (cutoff,) = [one for one in lines if one.startswith("ubp_served_cutoff_seconds ")]
    assert float(line.split()[1]) < float(cutoff.split()[1])


def test_a_scope_of_its_own(home: Home) -> None:
    secrets = {scope: create_key(home, scope, [scope]) for scope in ("read", "similar")}
    with running(home) as server:
        asked = [("/v1/clients/3/similar", None), ("/v1/similar", {"client_ids": [3]})]
        for path, body in asked:
            for scope, status in (("read", 403), ("similar", 200)):
                header = {"Authorization": f"Bearer {secrets[scope]}"}
                assert server.ask(path, body, **header).status == status
        # To a route's pattern a line's end is nothing.
        header = {"Authorization": f"Bearer {secrets['read']}"}
        for path, body in (
            ("/v1/clients/3/similar%0A", None),
            ("/v1/similar%0A", {"client_ids": [3]}),
        ):
            assert server.ask(path, body, **header).status == 404
        metrics = server.ask("/metrics", Authorization=f"Bearer {secrets['read']}").body.decode()
        assert 'path="/v1/clients/{client_id}/similar"' in metrics
