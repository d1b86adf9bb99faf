"""Requests per second of `ubp serve`, beside Feast's own server on the same store.

    python -m benchmarks.serving                     # a simulated shop, SQLite and Redis
    python -m benchmarks.serving --home HOME         # a published home instead, its own store

Needs `wrk`, a load generator, on PATH. The server has one core, `wrk` another. Each server is asked
for one client at a time, drawn at random, by some connections as fast as it answers; then at half
of that rate, where the time of an answer is measured; then for a hundred clients at a time. The
baseline is ``feast serve``, asked for the same clients.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from benchmarks.machine import report
from pipelines.ingest import ingest
from pipelines.publish import publish
from pipelines.train import train
from tests.store.redis_server import PROGRAM, free_port, redis_server
from ubp_platform.home import Home
from ubp_platform.progress import bars
from ubp_platform.simulation import simulator
from ubp_platform.store.retrieval import ProfileStore

CLIENTS, CONNECTIONS, BATCH = 5000, 8, 100
BINARY = "application/octet-stream"


@dataclass(frozen=True)
class Load:
    """What `wrk` measured: answers per second, and milliseconds."""

    rate: float
    p50: float
    p99: float
    failed: int


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--home", type=Path, help="a published home; by default one is made")
    parser.add_argument("--clients", type=int, default=CLIENTS, help="of the simulated shop")
    parser.add_argument("--seconds", type=int, default=10, help="of each measurement")
    options = parser.parse_args()
    if not shutil.which("wrk"):
        sys.exit("wrk is not on PATH: it makes the load")
    with tempfile.TemporaryDirectory(prefix="serving-") as directory:
        place = Path(directory)
        home = Home(home=options.home) if options.home else _shop(place, options.clients)
        rows, rates = [], {}
        for store in ("sqlite", "redis"):
            if store == "redis" and (options.home or PROGRAM is None):
                continue
            with _store(store, place, publish_to=None if options.home else home):
                found = _measured(home, place, options)
            rows += [(f"{store}, {name}", _words(load)) for name, load in found.items()]
            rates[store] = found["JSON"].rate / found["feast serve"].rate
        width = ProfileStore(home).version.width
    report(
        "serving",
        f"One client of {width} numbers, one core, {CONNECTIONS} connections",
        [*rows, *((f"{store}: times feast serve", f"{one:.1f}") for store, one in rates.items())],
        ratio=round(min(rates.values()), 2),
        width=width,
    )


def _shop(place: Path, clients: int) -> Home:
    progress, home = bars(Console(stderr=True)), Home(home=place / "home")
    simulator.simulate(place / "shop", clients, 60, progress=progress)
    ingest(home, str(place / "shop"), progress=progress)
    train(home, progress=progress)
    return home


@contextmanager
def _store(kind: str, place: Path, publish_to: Home | None) -> Iterator[None]:
    """Publish to an online store, which is there meanwhile."""
    if publish_to is None:
        yield
        return
    os.environ["UBP_ONLINE_STORE"] = kind
    if kind == "sqlite":
        publish(publish_to)
        yield
        return
    with redis_server(place) as address:
        os.environ["UBP_REDIS"] = address
        publish(publish_to)
        yield


def _measured(home: Home, place: Path, options: argparse.Namespace) -> dict[str, Load]:
    version = ProfileStore(home).version
    clients, found = version.snapshots[-1].clients, {}

    def load(url: str, asked: str, rate: float = 0) -> Load:
        return _load(url, asked, place, clients, options.seconds, rate)

    with _server(["feast", "-c", str(home.feast), "serve"], home, "/health") as url:
        service = f'{{"feature_service":"profile_{version.name}","entities":{{"client_id":[IDS]}}}}'
        found["feast serve"] = load(url, _asked("/get-online-features", service))
    with _server([sys.executable, "cli.py", "serve"], home, "/healthz") as url:
        for name, accept in (("JSON", "application/json"), ("binary", BINARY)):
            asked = _asked("/v1/profiles/IDS", accept=accept)
            found[name] = most = load(url, asked)
            found[f"{name}, half of that"] = load(url, asked, most.rate / 2)
        asked = _asked("/v1/profiles", '{"client_ids":[IDS]}', clients=BATCH)
        found[f"JSON, {BATCH} clients"] = load(url, asked)
    return found


def _asked(path: str, body: str = "", accept: str = "application/json", clients: int = 1) -> str:
    """Return the request in Lua; clients are drawn for ``IDS``."""
    headers = f'{{["Content-Type"] = "application/json", Accept = "{accept}"}}'
    path, body = (
        f'(string.gsub([[{text}]], "IDS", many({clients})))' if text else "nil"
        for text in (path, body)
    )
    return f'wrk.format("{"GET" if body == "nil" else "POST"}", {path}, {headers}, {body})'


def _load(url: str, asked: str, place: Path, clients: int, seconds: int, rate: float = 0) -> Load:
    """Ask as fast as the server answers, or at a rate."""
    script = place / "load.lua"
    pause = f"function delay() return {1000 * CONNECTIONS / rate:.3f} end" if rate else ""
    script.write_text(f"""
        function many(n)
          local ids = {{}}
          for at = 1, n do ids[at] = math.random(1, {clients}) end
          return table.concat(ids, ",")
        end
        function request() return {asked} end
        {pause}
    """)
    command = ["taskset", "-c", "0", "wrk", "-t1", f"-c{CONNECTIONS}", f"-d{seconds}", "--latency"]
    said = subprocess.run(
        [*command, "-s", str(script), url], check=True, capture_output=True, text=True
    ).stdout
    wrong = re.search(r"Non-2xx or 3xx responses: (\d+)", said)
    return Load(
        float(re.search(r"Requests/sec:\s+([\d.]+)", said)[1]),
        _milliseconds(re.search(r"(?m)^ +50% +(\S+)", said)[1]),
        _milliseconds(re.search(r"(?m)^ +99% +(\S+)", said)[1]),
        int(wrong[1]) if wrong else 0,
    )


def _milliseconds(text: str) -> float:
    number, unit = re.fullmatch(r"([\d.]+)(us|ms|s)", text).groups()
    return float(number) * {"us": 0.001, "ms": 1, "s": 1000}[unit]


def _words(load: Load) -> str:
    failed = f", {load.failed:,} failed" * bool(load.failed)
    return f"{load.rate:,.0f} a second, p50 {load.p50:.1f} ms, p99 {load.p99:.1f} ms{failed}"


@contextmanager
def _server(command: list[str], home: Home, alive: str) -> Iterator[str]:
    """Run a server on the second core until it answers."""
    port = free_port()
    environment = {**os.environ, "UBP_HOME": str(home.root.absolute())}
    environment.pop("PROMETHEUS_MULTIPROC_DIR", None)
    path = f"{Path(sys.executable).parent}:{environment['PATH']}"
    server = subprocess.Popen(
        ["taskset", "-c", "1", *command, "--port", str(port)],
        env=environment | {"PATH": path},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    url = f"http://127.0.0.1:{port}"
    try:
        until = time.monotonic() + 120
        while True:
            try:
                urllib.request.urlopen(url + alive).close()
                break
            except OSError:
                if time.monotonic() > until or server.poll() is not None:
                    sys.exit(f"{command[0]} does not answer")
                time.sleep(0.2)
        yield url
    finally:
        server.terminate()
        server.wait(30)


if __name__ == "__main__":
    main()
