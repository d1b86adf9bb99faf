"""A thousand requests a second for a minute, while one version after the other is published.

    python -m benchmarks.serving_changes                # a simulated shop, SQLite
    python -m benchmarks.serving_changes --redis

Needs `wrk`, which asks for one client at a time at that rate. Beside it, batches of twenty clients
are asked for and compared, number by number, with what the version that they name has of these
clients: an answer with profiles of two versions, or of neither, is a mix. Nothing may fail.
"""

import argparse
import json
import os
import shutil
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path

import numpy as np
from rich.console import Console

from benchmarks.machine import report
from benchmarks.serving import _asked, _load, _server, _store, _words
from pipelines.ingest import ingest
from pipelines.publish import publish
from pipelines.train import train
from tests.store.redis_server import PROGRAM
from ubp_platform.home import Home
from ubp_platform.progress import bars
from ubp_platform.simulation import simulator
from ubp_platform.store.retrieval import ProfileStore

CLIENTS, BATCH, RATE = 5000, 20, 1000
# `wrk` pauses after an answer, so that it is asked for more; seconds between two publishes.
_MORE, _PAUSE = 1.4, 1.0


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--redis", action="store_true", help="a Redis server, not SQLite")
    parser.add_argument("--seconds", type=int, default=60)
    options = parser.parse_args()
    if not shutil.which("wrk"):
        sys.exit("wrk is not on PATH: it makes the load")
    if options.redis and PROGRAM is None:
        sys.exit("redis-server is not on PATH")
    progress = bars(Console(stderr=True))
    with tempfile.TemporaryDirectory(prefix="changes-") as directory:
        place = Path(directory)
        home = Home(place / "home")
        simulator.simulate(place / "shop", CLIENTS, 60, progress=progress)
        ingest(home, str(place / "shop"), progress=progress)
        versions = [train(home, progress=progress, seed=seed).profile.name for seed in (0, 1)]
        with _store("redis" if options.redis else "sqlite", place, home):
            publish(home, versions[0])
            expected = {name: _profiles(home, name) for name in versions}
            with _server([sys.executable, "cli.py", "serve"], home, "/healthz") as url:
                _try(home, url, place, versions, expected, options.seconds)


def _profiles(home: Home, name: str) -> np.ndarray:
    publish(home, name)
    found = ProfileStore(home, name).lookup_many(range(1, CLIENTS + 1))
    return np.stack([one.vector for one in found])


def _try(
    home: Home,
    url: str,
    place: Path,
    versions: list[str],
    expected: dict[str, np.ndarray],
    seconds: int,
) -> None:
    stop = threading.Event()
    counted = {"publishes": 0, "answers": 0, "failed": 0, "mixed": 0, "seen": set()}

    def publishing() -> None:
        while not stop.is_set():
            publish(home, versions[counted["publishes"] % 2])
            counted["publishes"] += 1
            stop.wait(_PAUSE)

    def comparing() -> None:
        rng = np.random.default_rng(0)
        while not stop.is_set():
            ids = rng.integers(1, CLIENTS + 1, BATCH)
            body = json.dumps({"client_ids": ids.tolist()}).encode()
            headers = {"Content-Type": "application/json", "Accept": "application/octet-stream"}
            request = urllib.request.Request(f"{url}/v1/profiles", body, headers)
            try:
                with urllib.request.urlopen(request, timeout=30) as answer:
                    version = answer.headers["X-UBP-Version"]
                    vectors = np.frombuffer(answer.read(), "<f4").reshape(BATCH, -1)
            except OSError:
                counted["failed"] += 1
                continue
            counted["answers"] += 1
            counted["seen"].add((version, answer.headers["X-UBP-Publish"]))
            counted["mixed"] += not np.array_equal(vectors, expected[version][ids - 1])
            time.sleep(0.05)

    threads = [threading.Thread(target=one) for one in (publishing, comparing)]
    for thread in threads:
        thread.start()
    load = _load(url, _asked("/v1/profiles/IDS"), place, CLIENTS, seconds, _MORE * RATE)
    stop.set()
    for thread in threads:
        thread.join()
    failed = load.failed + counted["failed"]
    report(
        "serving_changes",
        f"{RATE:,} requests a second for {seconds} s while versions change",
        [
            ("one client at a time", _words(load)),
            ("publishes meanwhile", f"{counted['publishes']:,}"),
            (f"batches of {BATCH} compared", f"{counted['answers']:,}"),
            ("publishes seen in them", f"{len(counted['seen']):,}"),
            ("failed", f"{failed:,}"),
            ("mixed", f"{counted['mixed']:,}"),
        ],
        failed=failed,
        mixed=int(counted["mixed"]),
        ratio=round(load.rate / RATE, 2),
    )
    if failed or counted["mixed"]:
        sys.exit(1)


if __name__ == "__main__":
    os.environ.pop("UBP_HOME", None)
    main()
