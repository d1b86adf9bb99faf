"""A real server in this process, on a free port, and a client that sends what it is told."""

import http.client
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import uvicorn
from fastapi import FastAPI

from tests.store.redis_server import free_port
from ubp_platform.home import Home
from ubp_platform.serving.app import Options, create_app
from ubp_platform.serving.connection import GuardedProtocol
from ubp_platform.serving.reading import Reader


@dataclass
class Answer:
    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Running:
    """A server that runs."""

    port: int

    def ask(
        self,
        path: str,
        body: object = None,
        method: str = "",
        **headers: str,
    ) -> Answer:
        """Send one request, a body as JSON unless it is bytes; underscores are hyphens."""
        content = body if isinstance(body, bytes | None) else json.dumps(body).encode()
        fields = {name.replace("_", "-"): value for name, value in headers.items()}
        if content is not None:
            fields.setdefault("Content-Type", "application/json")
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            connection.request(method or ("GET" if body is None else "POST"), path, content, fields)
            found = connection.getresponse()
            return Answer(found.status, dict(found.headers.items()), found.read())
        finally:
            connection.close()

    def send(self, *parts: bytes, pause: float = 0.0) -> bytes:
        """Send bytes as they are, and return all that comes back until the server closes."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=30) as connection:
            try:
                for part in parts:
                    connection.sendall(part)
                    time.sleep(pause)
            except (BrokenPipeError, ConnectionResetError):
                pass
            received = b""
            try:
                while part := connection.recv(65536):
                    received += part
            except ConnectionResetError:
                pass
            return received


@contextmanager
def running(
    home: Home,
    at: int = 0,
    pages: Callable[[FastAPI, Reader], None] | None = None,
    **options: Any,
) -> Iterator[Running]:
    """Serve a home, at a port; the options are those of the application."""
    port = at or free_port()
    app = create_app(Options(home=home.root, **options), pages)
    config = uvicorn.Config(
        app,
        host="127.0.0.1",
        port=port,
        http=GuardedProtocol,
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        timeout_graceful_shutdown=2,
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    try:
        until = time.monotonic() + 30
        while not server.started and time.monotonic() < until:
            time.sleep(0.01)
        yield Running(port)
    finally:
        server.should_exit = True
        thread.join(30)
