"""What every request passes first: hosts, keys, limits; and what is noted of its answer."""

import asyncio
import logging
import re
import time
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

import orjson

from ubp_platform.errors import DamagedFile
from ubp_platform.followed import FollowedFile
from ubp_platform.serving.keys import Key, Keys, path_of
from ubp_platform.serving.metrics import Metrics
from ubp_platform.serving.reading import Reader

LOG = logging.getLogger("ubp.serve")
#: Bytes of a body, and of one that nobody needs a key for.
BODY_BYTES, LOGIN_BYTES = 1_000_000, 4096
#: Seconds that a body may take.
BODY_SECONDS = 10.0
#: Paths that tell nothing, and need no key.
OPEN = ("/healthz", "/readyz", "/docs", "/openapi.json", "/static/", "/login")
#: The cookie with the key of who looks at the pages.
COOKIE = "ubp_key"
# The pages: these paths, and those below the last one.
_PAGES = ("/", "/clients", "/explained", "/map.png", "/near", "/versions", "/report")
_CLIENT = "/clients/"
SECURITY_HEADERS = [
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (
        b"content-security-policy",
        b"default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' "
        b"data:; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    ),
]
# Of the address of a page that is shown after the login.
_TARGET_BYTES = 1000
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
FAILED = "an error of the server; its log has it"
Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]


def is_page(path: str) -> bool:
    """Whether a path is that of a page."""
    return path in _PAGES or path.startswith(_CLIENT)


def login(wrong: bool, to: str) -> str:
    """Return the address that asks for a key, and then goes on to a page."""
    asked = "&".join(["wrong"] * wrong + [f"to={quote(to, safe='/')}"] * (to != "/"))
    return f"/login?{asked}" if asked else "/login"


def _target(scope: Scope) -> str:
    """Return path and query of a page, to be shown after the login; the start, if they are long."""
    asked = b"?".join(filter(None, (scope["raw_path"], scope["query_string"])))
    return asked.decode("latin-1") if len(asked) <= _TARGET_BYTES else "/"


class Refused(Exception):
    """A request that is not let through.

    Parameters
    ----------
    status : int
    detail : str
    headers : dict of str to str
    """

    def __init__(self, status: int, detail: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(detail)
        self.status, self.detail, self.headers = status, detail, headers or {}


class _Gone(Exception):
    """The client has closed the connection, or was too slow to read."""


@dataclass
class Bucket:
    """Requests that a key may still make: it fills up by ``rate`` a second, up to ``rate``."""

    rate: float
    left: float = field(init=False)
    at: float = field(default_factory=time.monotonic)

    def __post_init__(self) -> None:
        self.left = max(self.rate, 1.0)

    def take(self) -> float:
        """Take one; return 0, or the seconds until there is one."""
        now = time.monotonic()
        self.left = min(max(self.rate, 1.0), self.left + (now - self.at) * self.rate)
        self.at = now
        if self.left >= 1:
            self.left -= 1
            return 0.0
        return (1 - self.left) / self.rate


class Guard:
    """An ASGI application around the one with the paths.

    Parameters
    ----------
    app : callable
    reader : Reader
    metrics : Metrics
    hosts : list of str
        Names under which the server may be asked; empty for any. A page of another site cannot
        make a browser read a server on loopback then.
    require_key : bool
        Whether a key is needed also where none was made.
    workers : int
        Processes that share a key's rate.
    log_ids : bool
        Whether the log has whole paths, with ids of clients.
    """

    def __init__(
        self,
        app: App,
        reader: Reader,
        metrics: Metrics,
        hosts: list[str],
        *,
        require_key: bool,
        workers: int = 1,
        log_ids: bool = False,
    ) -> None:
        self._app, self._metrics, self._hosts = app, metrics, hosts
        self._keys = FollowedFile(path_of(reader.home), lambda: Keys.read_if_any(reader.home))
        self._require_key, self._workers, self._log_ids = require_key, workers, log_ids
        self._buckets: dict[str, Bucket] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self._app(scope, receive, send)
            return
        if scope["method"] == "HEAD":  # uvicorn leaves the body out
            scope = {**scope, "method": "GET"}
        start, status, name = time.perf_counter(), 500, ""
        started = finished = False

        async def noting(message: Message) -> None:
            nonlocal status, started, finished
            if message["type"] == "http.response.start":
                started = True
                status = message["status"]
                message["headers"] = [*message.get("headers", ()), *SECURITY_HEADERS]
            is_body = message["type"] == "http.response.body"
            finished = is_body and not message.get("more_body", False)
            try:
                await send(message)
            except (RuntimeError, OSError):
                raise _Gone from None

        try:
            try:
                name = self._let_in(scope)
                await self._app(scope, await _limited(scope, receive), noting)
            except Refused as no:
                await _answer(noting, no.status, no.detail, no.headers, close=_has_body(scope))
            except _Gone:
                LOG.debug("a client has gone")
            except Exception:
                LOG.exception("a request failed")
                if not started:
                    await _answer(noting, 500, FAILED)
                elif not finished:
                    raise
        finally:
            self._note(scope, status, name, time.perf_counter() - start)

    def _let_in(self, scope: Scope) -> str:
        """Return the name of the key; raise Refused if there is none, or not this often."""
        headers = dict(scope["headers"])
        host = headers.get(b"host", b"").decode("latin-1").rpartition("@")[2]
        if self._hosts and _hostname(host) not in self._hosts:
            raise Refused(400, "this server is not asked by that host name")
        path = scope["path"]
        # A route's pattern overlooks a line's end at the end; scopes must not.
        if _CONTROL.search(path) and not path.startswith("/v1/profiles/"):
            raise Refused(404, "there is no such path")
        if path.startswith(OPEN):
            return ""
        try:
            known = self._keys.value()
        except DamagedFile:
            raise Refused(503, "the file of keys is damaged: nobody is let in") from None
        # What was locked once stays locked, also if the file is removed.
        self._require_key |= known is not None
        if not self._require_key:
            return ""
        page = is_page(path)
        kind, _, secret = headers.get(b"authorization", b"").partition(b" ")
        if page and kind.lower() != b"bearer":  # a proxy in front may ask for something else
            kind, secret = b"bearer", _cookie(headers)
        key = known.find(secret.strip()) if known and kind.lower() == b"bearer" else None
        if page and (key is None or "page" not in key.scopes):
            raise Refused(303, "a key is needed", {"Location": login(bool(secret), _target(scope))})
        if key is None:
            raise Refused(
                401, "a key is needed: Authorization: Bearer KEY", {"WWW-Authenticate": "Bearer"}
            )
        if page:
            self._require_rate(key)
            return key.name
        wanted = "similar" if path == "/v1/similar" or _is_of_client(path) else "read"
        if wanted not in key.scopes:
            raise Refused(403, f"this key has not the scope {wanted!r}")
        self._require_rate(key)
        return key.name

    def _require_rate(self, key: Key) -> None:
        bucket = self._buckets.get(key.sha256)
        if bucket is None or bucket.rate != key.rate / self._workers:
            bucket = self._buckets[key.sha256] = Bucket(key.rate / self._workers)
        if wait := bucket.take():
            seconds = str(max(1, round(wait)))
            raise Refused(429, f"more than {key.rate} requests a second", {"Retry-After": seconds})

    def _note(self, scope: Scope, status: int, key: str, seconds: float) -> None:
        # Of the route, not of the request: paths have ids, and are without end.
        route = getattr(scope.get("route"), "path", "") or _route_of(scope["path"])
        route = route.replace(":path}", "}")
        method = scope["method"] if scope["method"] in _METHODS else "other"
        requests, took = self._metrics.of(method, route, status)
        requests.inc()
        took.observe(seconds)
        if LOG.isEnabledFor(logging.INFO):
            shown = scope["path"] if self._log_ids else route
            # A line stays one line, whatever is in the path.
            shown = shown.encode("unicode_escape").decode()
            LOG.info("%s %s %d %.1f ms %s", method, shown, status, 1000 * seconds, key)


_ROUTES = ("/v1/profiles", "/v1/similar", "/v1/versions", "/healthz", "/readyz", "/metrics")
_METHODS = ("GET", "POST", "OPTIONS", "PUT", "PATCH", "DELETE")


def _route_of(path: str) -> str:
    """Return the route of a request that was refused before it had one."""
    if path in _ROUTES:
        return path
    if _is_of_client(path):
        return "/v1/clients/{client_id}/similar"
    return "/v1/profiles/{client_id}" if path.startswith("/v1/profiles/") else "other"


def _cookie(headers: dict[bytes, bytes]) -> bytes:
    """Return the key in a request's cookies; empty without one."""
    for part in headers.get(b"cookie", b"").split(b";"):
        name, _, value = part.strip().partition(b"=")
        if name == COOKIE.encode():
            return value
    return b""


def _is_of_client(path: str) -> bool:
    """Whether a path asks for the clients who are similar to one."""
    return path.startswith("/v1/clients/") and path.endswith("/similar")


def _hostname(host: str) -> str:
    """Return a Host header without its port."""
    if host.startswith("["):
        return host.partition("]")[0] + "]"
    return host.partition(":")[0].lower()


def _has_body(scope: Scope) -> bool:
    headers = dict(scope["headers"])
    return b"transfer-encoding" in headers or headers.get(b"content-length", b"0") != b"0"


async def _limited(scope: Scope, receive: Receive) -> Receive:
    """Read the body, up to a size and a time; return what the application receives instead.

    Raises
    ------
    Refused
        If it is too large, or too slow.
    """
    if scope["method"] == "GET":
        return receive
    body = bytearray()
    most = LOGIN_BYTES if scope["path"] == "/login" else BODY_BYTES
    declared = dict(scope["headers"]).get(b"content-length", b"0")
    if declared.isdigit() and int(declared) > most:
        raise Refused(413, f"a body has up to {most:,} bytes")
    try:
        async with asyncio.timeout(BODY_SECONDS):
            more = True
            while more:
                message = await receive()
                if message["type"] == "http.disconnect":
                    return receive
                body += message.get("body", b"")
                more = message.get("more_body", False)
                if len(body) > most:
                    raise Refused(413, f"a body has up to {most:,} bytes")
    except TimeoutError:
        raise Refused(408, f"a body takes up to {BODY_SECONDS:g} seconds") from None
    whole: Message = {"type": "http.request", "body": bytes(body), "more_body": False}
    given = False

    async def once() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return whole

    return once


async def _answer(
    send: Send,
    status: int,
    detail: str,
    headers: dict[str, str] | None = None,
    *,
    close: bool = False,
) -> None:
    body = orjson.dumps({"detail": detail})
    fields = {"content-type": "application/json", "content-length": str(len(body))}
    fields |= headers or {}
    encoded = [(name.lower().encode(), value.encode()) for name, value in fields.items()]
    if close:  # what is left of the body is not read
        encoded.append((b"connection", b"close"))
    await send({"type": "http.response.start", "status": status, "headers": encoded})
    await send({"type": "http.response.body", "body": body})
