"""What a server on a network must not do: keys, limits, and requests that mean harm."""

import logging
import socket
import threading
import time
from contextlib import suppress
from pathlib import Path

import pytest

from tests.pipelines.commands import run_ubp
from tests.serving.running import Running, running
from ubp_platform.errors import UBPError
from ubp_platform.home import Home
from ubp_platform.serving import connection, guard
from ubp_platform.serving.keys import Keys, create_key, path_of, revoke_key

PROFILE = "/v1/profiles/7"


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


def test_a_key_is_asked_for_as_soon_as_there_is_one(home: Home) -> None:
    with running(home) as server:
        assert server.ask(PROFILE).status == 200
        key = create_key(home, "shop")
        answer = server.ask(PROFILE)
        assert (answer.status, answer.headers["www-authenticate"]) == (401, "Bearer")
        assert server.ask(PROFILE, **bearer(key)).status == 200
        for wrong in ("", "x", key[:-1], key + "x", key.upper(), "\xff"):
            assert server.ask(PROFILE, **bearer(wrong)).status == 401
        assert server.ask(PROFILE, Authorization=f"Basic {key}").status == 401
        assert server.ask("/v1/versions").status == 401
        assert server.ask("/metrics").status == 401
        # Whoever watches over the process has no key.
        assert server.ask("/healthz").status == 200
        assert server.ask("/readyz").status == 200
        assert revoke_key(home, "shop") == 0
        # Between two keys nobody is let in, and not everybody.
        assert server.ask(PROFILE).status == 401
        assert server.ask(PROFILE, **bearer(key)).status == 401
        another = create_key(home, "another")
        assert server.ask(PROFILE, **bearer(key)).status == 401
        assert server.ask(PROFILE, **bearer(another)).status == 200
        path_of(home).unlink()
        assert server.ask(PROFILE).status == 401


def test_a_server_that_demands_keys_answers_nobody_without_one(home: Home) -> None:
    with running(home, require_key=True) as server:
        assert server.ask(PROFILE).status == 401
        assert server.ask(PROFILE, **bearer("ubp_guessed")).status == 401
        assert server.ask(PROFILE, **bearer(create_key(home, "shop"))).status == 200


def test_scopes(home: Home) -> None:
    reads, similar = create_key(home, "r", ["read"]), create_key(home, "s", ["similar"])
    with running(home) as server:
        assert server.ask(PROFILE, **bearer(reads)).status == 200
        answer = server.ask(PROFILE, **bearer(similar))
        assert (answer.status, answer.json["detail"]) == (403, "this key has not the scope 'read'")
        # What a client is called changes nothing.
        assert server.ask("/v1/profiles/similar", **bearer(reads)).status == 422
        assert server.ask("/v1/profiles/a/similar", **bearer(similar)).status == 403


def test_a_key_has_a_rate(home: Home) -> None:
    slow, fast = create_key(home, "slow", rate=3), create_key(home, "fast")
    with running(home) as server:
        answers = [server.ask(PROFILE, **bearer(slow)) for _ in range(8)]
        assert [one.status for one in answers].count(429) >= 3
        refused = next(one for one in answers if one.status == 429)
        assert refused.headers["retry-after"] == "1"
        assert server.ask(PROFILE, **bearer(fast)).status == 200
        time.sleep(0.5)
        assert server.ask(PROFILE, **bearer(slow)).status == 200


def test_a_key_is_kept_as_a_hash_and_shown_once(
    home: Home, capsys: pytest.CaptureFixture[str]
) -> None:
    where = ("--home", home.root)
    made = run_ubp(capsys, "key", "create", "shop", "--scope", "read", *where)
    secret = made.out.splitlines()[0]
    assert secret.startswith("ubp_")
    content = path_of(home).read_text()
    assert secret not in content
    assert secret.removeprefix("ubp_") not in content
    assert path_of(home).stat().st_mode & 0o077 == 0
    assert secret not in run_ubp(capsys, "key", "list", *where).out
    assert Keys.read(home).find(secret.encode()).name == "shop"
    for arguments, words in (
        (("create", "shop"), "there is a key 'shop'"),
        (("create", "a b"), "cannot be the name of a key"),
        (("create", "x", "--scope", "write"), "there is no scope 'write'; there are read, similar"),
        (("revoke", "other"), "there is no key 'other'; there are: shop"),
    ):
        outcome = run_ubp(capsys, "key", *arguments, *where)
        assert (outcome.code, words in outcome.err) == (2, True)
    assert run_ubp(capsys, "key", "revoke", "shop", *where).code == 0
    assert "There is no key" in run_ubp(capsys, "key", "list", *where).out


def test_with_damaged_keys_nobody_is_let_in(home: Home) -> None:
    key = create_key(home, "shop")
    path_of(home).write_text(path_of(home).read_text().replace("shop", "Shop"))
    with running(home) as server:
        for headers in ({}, bearer(key)):
            answer = server.ask(PROFILE, **headers)
            assert (answer.status, "damaged" in answer.json["detail"]) == (503, True)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--host", "0.0.0.0"), "there is no key: `ubp key create NAME`"),
        (("--host", "shop.example"), "there is no key"),
        (("--certificate", "none.pem", "--private-key", "none.pem"), "there is no such file"),
        (("--port", "0"), "--port"),
        (("--workers", "0"), "--workers"),
    ],
)
def test_what_the_command_refuses(
    home: Home, capsys: pytest.CaptureFixture[str], options: tuple[str, ...], words: str
) -> None:
    outcome = run_ubp(capsys, "serve", *options, "--home", home.root)
    assert (outcome.code, words in outcome.err) == (2, True)


def test_what_the_command_finds_before_it_listens(
    home: Home, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        outcome = run_ubp(capsys, "serve", "--port", port, "--home", home.root)
    assert (outcome.code, f"cannot listen on 127.0.0.1:{port}" in outcome.err) == (2, True)
    (tmp_path / "x.pem").write_text("not a certificate")
    files = ("--certificate", tmp_path / "x.pem", "--private-key", tmp_path / "x.pem")
    outcome = run_ubp(capsys, "serve", *files, "--home", home.root)
    assert (outcome.code, "are no certificate with its key" in outcome.err) == (2, True)


def test_a_page_of_another_site_cannot_ask_for_loopback(home: Home) -> None:
    with running(home, hosts=["localhost", "127.0.0.1", "[::1]"]) as server:
        assert server.ask(PROFILE).status == 200
        for host in ("evil.example", "localhost.evil.example:80", "127.0.0.1.evil.example", ""):
            assert server.ask(PROFILE, Host=host).status == 400
        assert server.ask(PROFILE, Host="LOCALHOST:1").status == 200
        answer = server.ask(PROFILE, Origin="https://evil.example")
        assert "access-control-allow-origin" not in answer.headers


@pytest.mark.parametrize(
    "path",
    [
        "/static/docs/../app.py",
        "/static/docs/..%2f..%2fapp.py",
        "/static/docs/%2e%2e/%2e%2e/etc/passwd",
        "/static/docs//etc/passwd",
        "/static/docs.js/../../keys.json",
        "/keys.json",
        "//v1/profiles/7",
        "/v1/profiles/..%2f..%2fkeys.json",
        "/v1/profiles/7%00",
        "/v1/profiles/%ff%fe",
        "/v1/profiles/7?version=../../etc/passwd",
        "/v1/profiles/7?version=v2%00",
        "/v1/profiles/7;x=1",
        "/v1/profiles/" + "9" * 20_000,
    ],
)
def test_tricks_with_paths_find_nothing(server: Running, path: str) -> None:
    answer = server.ask(path)
    assert answer.status in (400, 404, 422)
    assert len(answer.json["detail"]) < 500


def test_every_answer_has_headers_that_protect_a_browser(server: Running) -> None:
    for path in (PROFILE, "/docs", "/nothing", "/healthz"):
        headers = server.ask(path).headers
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["x-frame-options"] == "DENY"
        assert "default-src 'none'" in headers["content-security-policy"]
        assert "Python" not in str(headers)


def test_large_bodies_are_not_read(server: Running) -> None:
    head = b"POST /v1/profiles HTTP/1.1\r\nHost: localhost\r\n"
    huge = server.send(head + b"Content-Length: 99999999999\r\n\r\n{")
    assert b" 413 " in huge.partition(b"\r\n")[0]
    chunk = b"%x\r\n" % 300_000 + b"[" * 300_000 + b"\r\n"
    endless = server.send(head + b"Transfer-Encoding: chunked\r\n\r\n", *[chunk] * 20)
    assert b" 413 " in endless.partition(b"\r\n")[0]
    nested = b'{"client_ids": ' + b"[" * 200_000 + b"]" * 200_000 + b"}"
    assert server.ask("/v1/profiles", nested).status in (400, 422)
    assert server.ask(PROFILE).status == 200


@pytest.mark.parametrize(
    "flood",
    [
        b"GET / HTTP/1.1\r\n" + b"X: " + b"y" * 200_000,
        b"GET / HTTP/1.1\r\n" + b"".join(b"X-%d: y\r\n" % n for n in range(20_000)),
        b"GET / HTTP/1.1\r\n" + b"".join(b"X-%d: y\r\n" % n for n in range(20_000)) + b"\r\n",
        b"GET /" + b"y" * 200_000,
        b"\r\n" * 100_000,
        b"\0" * 100_000,
        b"GET / HTTP/1.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
    ],
)
def test_what_floods_or_is_no_http_is_ended(server: Running, flood: bytes) -> None:
    answer = server.send(*(flood[at : at + 16_384] for at in range(0, len(flood), 16_384)))
    assert answer == b"" or answer.split(b" ")[1][:1] == b"4"
    assert server.ask(PROFILE).status == 200


def test_slow_clients_are_ended_and_hinder_nobody(
    published: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "HEADER_SECONDS", 0.5)
    monkeypatch.setattr(guard, "BODY_SECONDS", 0.5)
    head = b"POST /v1/profiles HTTP/1.1\r\nHost: localhost\r\n"
    with running(published) as server:
        slow = [
            (b"",),
            (b"GET / HT",),
            tuple(head[at : at + 1] for at in range(20)),
            (head + b"Content-Length: 50\r\n\r\n", b"{", b'"'),
        ]
        answers: list[bytes] = [b""] * len(slow)

        def send(number: int) -> None:
            answers[number] = server.send(*slow[number], pause=0.2)

        threads = [threading.Thread(target=send, args=(one,)) for one in range(len(slow))]
        start = time.monotonic()
        for thread in threads:
            thread.start()
        assert server.ask(PROFILE).status == 200
        for thread in threads:
            thread.join()
        assert time.monotonic() - start < 10
    assert [one.split(b" ")[1] for one in answers] == [b"408"] * len(slow)


def test_what_is_not_read_holds_no_connection(
    published: Home, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(connection, "BODY_SECONDS", 0.5)
    monkeypatch.setattr(connection, "READ_SECONDS", 0.5)
    with running(published) as server:
        head = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n"
        start = time.monotonic()
        server.send(head, b"x", pause=0.1)
        assert time.monotonic() - start < 5
        with socket.socket() as lazy:
            lazy.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            lazy.connect(("127.0.0.1", server.port))
            page = b"GET /static/docs/swagger-ui-bundle.js HTTP/1.1\r\nHost: localhost\r\n\r\n"
            lazy.sendall(page * 5)
            time.sleep(1.5)
            read = 0
            with suppress(ConnectionResetError):
                while part := lazy.recv(65536):
                    read += len(part)
            assert read < 5_000_000
    assert "Traceback" not in caplog.text


def test_a_refused_body_ends_the_connection(home: Home) -> None:
    create_key(home, "shop")
    with running(home) as server:
        head = b"POST /v1/profiles HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n"
        answer = server.send(head)
    assert b" 401 " in answer.partition(b"\r\n")[0]
    assert b"connection: close" in answer


def test_an_error_of_ours_says_nothing_of_the_code(
    published: Home, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with running(published) as server:
        monkeypatch.setattr(
            "ubp_platform.serving.reading.Reader.store",
            lambda *_: (_ for _ in ()).throw(RuntimeError("secret detail")),
        )
        answer = server.ask(PROFILE)
    assert (answer.status, answer.json["detail"]) == (500, "an error of the server; its log has it")
    assert "secret detail" in caplog.text


def test_the_log_has_no_ids_unless_it_is_told_to(
    published: Home, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    with running(published) as server:
        server.ask("/v1/profiles/1234567?blocks=counters")
        server.ask("/nothing/1234567")
    assert "GET /v1/profiles/{client_id} 200" in caplog.text
    assert "1234567" not in caplog.text
    with running(published, log_ids=True) as server:
        server.ask("/v1/profiles/1234567%0aforged")
    assert "/v1/profiles/1234567\\nforged" in caplog.text


def test_keys_have_names_that_cannot_be_paths(home: Home) -> None:
    for name in ("", "../x", "a/b", "x" * 65, "\n"):
        with pytest.raises(UBPError, match="cannot be the name"):
            create_key(home, name)
    assert not path_of(home).exists()
    with pytest.raises(UBPError, match="no home"):
        create_key(Home(home=Path("nowhere")), "shop")
