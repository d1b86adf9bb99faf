"""The pages as a server answers them: what they tell, and what they keep to themselves."""

import html
import re
import shutil
from datetime import timedelta
from pathlib import Path
from urllib.parse import quote

import numpy as np
import pandas as pd
import pytest

from pipelines.ingest import ingest
from pipelines.page import history
from pipelines.page.picture import drawn, nearest, place, quantities
from tests.pages.conftest import CLIENT, EVIL, with_pages
from tests.pipelines.deliveries import deliver
from tests.pipelines.job import LATER
from tests.serving.running import Answer, Running
from ubp_platform.home import Home
from ubp_platform.profile.listing import get_version
from ubp_platform.serving.keys import create_key
from ubp_platform.similar.directory import SimilarDirectory
from ubp_platform.similar.searching import SimilarIndexes, State
from ubp_platform.store.retrieval import ProfileStore
from ubp_platform.warehouse import Warehouse

ALL = ("/", "/clients/c003", "/versions", "/login", "/explained?client_id=c003")


def text(answer: Answer) -> str:
    """Return what a page shows, without marks."""
    return html.unescape(re.sub(r"<[^>]+>", " ", answer.body.decode()))


def state(home: Home) -> State:
    return SimilarIndexes(get_version(home, None)).state()


@pytest.mark.parametrize("path", ALL)
def test_pages_are_safe_and_not_kept(server: Running, path: str) -> None:
    answer = server.ask(path)
    assert answer.status == 200
    assert answer.headers["cache-control"] == "no-store"
    policy = answer.headers["content-security-policy"]
    assert "script-src 'self';" in policy
    assert answer.headers["x-frame-options"] == "DENY"
    body = answer.body.decode()
    assert EVIL not in body
    assert "http" not in body.replace("https://", "http://").split("</head>")[0]
    assert not re.search(r"<script>|on(click|load|error)=|javascript:", body)


def test_a_client_is_described_in_the_words_of_the_shop(server: Running, shown: Home) -> None:
    page = text(server.ask("/clients/c003"))
    store = ProfileStore(shown)
    facts = state(shown).facts
    client = facts.client(facts.slot("c003") or 0)
    assert f"{client.events:,}" in page
    assert client.categories[0] in page
    assert "oak <script>" in page  # as text
    assert "/p/" in page
    for one in store.similar("c003", 10).neighbours:
        assert str(one.client.client_id) in page
    for block in ("handcrafted", "counters"):
        assert block in page
    assert "purchases in 30 days" in page


def test_ids_are_found_whatever_they_are_made_of(server: Running) -> None:
    found = server.ask(f"/clients?client_id={quote(CLIENT)}")
    assert found.status == 303
    page = server.ask(found.headers["location"])
    assert page.status == 200
    assert (
        f"<h1>{html.escape(CLIENT)}</h1>".replace("&quot;", "&#34;").replace("&#x27;", "&#39;")
        in page.body.decode()
    )
    assert server.ask(f"/explained?client_id={quote(CLIENT)}").status == 200


def test_the_future_is_marked_as_what_the_profile_does_not_know(server: Running) -> None:
    body = server.ask("/clients/c003").body.decode()
    later = re.findall(r'<tr class="later"><td>([\d-]{10})', body)
    known = re.findall(r"<tr><td>([\d-]{10})", body)
    assert later
    assert min(later) >= f"{LATER:%Y-%m-%d}"
    assert all(time < f"{LATER:%Y-%m-%d}" for time in known)
    assert 'class="cutoff"' in body
    facts = re.search(r"<dt>Last event</dt><dd>([\d-]{10})", body)
    assert facts
    assert facts[1] < f"{LATER:%Y-%m-%d}"


def test_what_was_delivered_late_is_not_known(
    home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(history, "LISTED", 500)
    late = pd.DataFrame(
        {"client_id": ["c003"], "timestamp": [f"{LATER - timedelta(hours=1):%F %T}"]}
    )
    late["sku"] = "sku-111"
    ingest(home, str(deliver(tmp_path / "late", product_buy=late)))
    with with_pages(home) as server:
        body = server.ask("/clients/c003").body.decode()
    row = f"<td>{LATER - timedelta(hours=1):%F %H:%M}</td><td>product buy</td>"
    assert f'<tr class="later">{row}' in body
    assert "left of the dashed line, except 1 that became known later" in body


@pytest.mark.parametrize(
    ("path", "status", "said"),
    [
        ("/clients/nobody", 404, "Client nobody has no profile"),
        (f"/clients/{quote(EVIL, safe='')}", 404, "has no profile"),
        ("/clients/%00", 404, "there is no such path"),
        ("/clients/c003%0A", 404, "there is no such path"),
        ("/clients/..%2F..%2Fetc", 404, "has no profile"),
        ("/map.png?colour=nothing", 422, "cannot be coloured by 'nothing'"),
        ("/map.png", 422, "cannot be coloured"),
        ("/near?x=a&y=1", 422, "numbers from 0 to 1"),
        ("/near", 422, "numbers from 0 to 1"),
        ("/near?x=nan&y=inf", 422, "numbers from 0 to 1"),
        ("/report", 404, "there is no report"),
        ("/explained?client_id=nobody", 200, "Nothing can be shown"),
    ],
)
def test_mistakes(server: Running, path: str, status: int, said: str) -> None:
    answer = server.ask(path)
    assert answer.status == status
    assert said in text(answer)
    assert EVIL not in answer.body.decode()


@pytest.mark.parametrize("path", ["/static/page/../paths.py", "/static/page/paths.py"])
def test_no_other_file_is_given(server: Running, path: str) -> None:
    assert server.ask(path).status == 404


def test_the_map_has_all_clients_at_their_places(shown: Home) -> None:
    found = state(shown)
    # All of them within the picture, also of so small a shop.
    slots = np.flatnonzero(found.facts.present)
    places = np.array([place(found.facts, int(slot)) for slot in slots])
    assert places.min() > 0
    assert places.max() < 720
    for quantity in quantities(found.facts):
        content, key = drawn(found, quantity)
        assert content.startswith(b"\x89PNG")
        assert len(key.entries) >= 2
    slots = np.flatnonzero(found.facts.keys >= 0)
    for slot in slots[::9]:
        x, y = place(found.facts, int(slot))
        assert nearest(found.facts, x / 720, y / 720) == found.facts.ids(np.array([slot]))[0]


def test_pages_need_a_key_with_their_scope(home: Home) -> None:
    secrets = {one: create_key(home, one, [one]) for one in ("read", "page")}
    with with_pages(home) as server:
        for path in ("/", "/clients/c003", "/versions", "/map.png?colour=events", "/near?x=0&y=0"):
            answer = server.ask(path)
            to = "" if path == "/" else f"to={quote(path)}"
            where = f"/login?{to}" if to else "/login"
            assert (answer.status, answer.headers["location"]) == (303, where)
            assert b"c003" not in answer.body
            for scope, status in (("read", 303), ("page", (200, 303))):
                cookie = {"Cookie": f"a=b; ubp_key={secrets[scope]}"}
                answer = server.ask(path, **cookie)
                assert answer.status in np.atleast_1d(status)
                wrong = answer.headers.get("location", "").startswith("/login?wrong")
                assert wrong == (scope == "read")
            # What a proxy in front asks for is no key.
            assert server.ask(path, Authorization="Basic YTpi", **cookie).status == answer.status
        bearer = {"Authorization": f"Bearer {secrets['read']}"}
        for path in ("/%0A", "/versions%0A", "/explained%0A?client_id=c003", "/near%0A?x=0&y=0"):
            assert server.ask(path, **bearer).status == 404
        # The cookie opens the pages alone, so that no other site can use it elsewhere.
        cookie = {"Cookie": f"ubp_key={secrets['page']}"}
        assert server.ask("/v1/profiles/c003", **cookie).status == 401
        assert server.ask("/login").status == 200
        assert server.ask("/static/page/page.css").status == 200


def test_logging_in(home: Home) -> None:
    secret = create_key(home, "someone")
    form = {"Content_Type": "application/x-www-form-urlencoded"}
    with with_pages(home) as server:
        answer = server.ask("/login", f"key={secret}".encode(), **form)
        assert (answer.status, answer.headers["location"]) == (303, "/")
        cookie = answer.headers["set-cookie"]
        assert "HttpOnly" in cookie
        assert "SameSite=strict" in cookie
        assert server.ask("/", Cookie=cookie.partition(";")[0]).status == 200
        # To the page that was asked for, and to no other site.
        asked = server.ask("/clients/a%26b?versions=v1")
        assert asked.headers["location"] == "/login?to=/clients/a%2526b%3Fversions%3Dv1"
        shown = server.ask(asked.headers["location"]).body
        assert b'name="to" value="/clients/a%26b?versions=v1"' in shown
        for to, where in {
            "/clients/a%2526b%3Fversions%3Dv1": "/clients/a%26b?versions=v1",
            "//shop.example/clients/": "/",
            "https://shop.example/": "/",
            "/clients/%0d%0aSet-Cookie:x": "/clients/%0D%0ASet-Cookie:x",
        }.items():
            answer = server.ask("/login", f"key={secret}&to={to}".encode(), **form)
            assert answer.headers["location"] == where
        answer = server.ask("/login", b"key=none+such&to=/versions", **form)
        assert answer.headers["location"] == "/login?wrong&to=/versions"
        assert server.ask("/login", b"a=b&" * 5000, **form).status == 413
        assert server.ask("/login", b"a=b&" * 500, **form).headers["location"] == "/login?wrong"
        assert "set-cookie" not in server.ask("/login", b"key=" + b"a" * 3000, **form).headers
        for wrong in (b"key=ubp_wrong", b"key=", b"", b"\xff\xfe", b"key=a%0d%0aSet-Cookie:x=1"):
            answer = server.ask("/login", wrong, **form)
            assert answer.status == 303
            value = answer.headers.get("set-cookie", "ubp_key=none").partition(";")[0]
            found = server.ask("/", Cookie=value)
            assert found.headers["location"] == "/login?wrong"


def test_what_is_missing_is_said(home: Home) -> None:
    shutil.rmtree(SimilarDirectory(get_version(home, None)).path)
    with with_pages(home) as server:
        assert "ubp index" in text(server.ask("/"))
        page = text(server.ask("/clients/c003"))
        assert "ubp index" in page
        assert "History" in page
        home.warehouse.unlink()
        assert "The history cannot be shown now" in text(server.ask("/clients/c003"))


def test_a_delivery_waits_for_no_page(home: Home, tmp_path: Path) -> None:
    with with_pages(home) as server:
        assert server.ask("/clients/c003").status == 200
        new = pd.DataFrame({"client_id": ["c003"], "timestamp": ["2022-07-30"], "sku": ["sku-001"]})
        ingest(home, str(deliver(tmp_path / "more", product_buy=new)))
        assert "2022-07-30" in text(server.ask("/clients/c003"))
        with Warehouse(home.warehouse, write=True):
            answer = server.ask("/clients/c003")
        assert answer.status == 200
        assert "The history cannot be shown now" in text(answer)
