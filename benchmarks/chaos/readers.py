"""Row `readers`: readers start and look up without pause while profiles are published."""

import hashlib
import json
import os
import time
import traceback
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq

from benchmarks.chaos import forks
from benchmarks.chaos.world import FIT, World, write_shop
from pipelines.clients import relevant_clients
from pipelines.encode import encode
from pipelines.publish import publish
from tests.store.redis_server import redis_server
from ubp_platform.home import Home
from ubp_platform.store.retrieval import ProfileStore

CLIENTS = 1500
"""More than one query of a lookup can ask for."""


def readers_world(directory: Path) -> World:
    """Make the home of this row, of more clients than the others have."""
    shop = directory / "shop"
    shop.mkdir(parents=True)
    forks.call(write_shop, shop, CLIENTS)
    return World(directory, shop)


def read_meanwhile(world: World, store: str, readers: int, seconds: float) -> tuple[int, list[str]]:
    """Let readers look up during publishes.

    Parameters
    ----------
    world : World
        From :func:`readers_world`.
    store : str
        ``sqlite`` or ``redis``.
    readers : int
        Processes that read at the same time; each is followed by another one at once.
    seconds : float

    Returns
    -------
    tries : int
        Reads, encodes and publishes.
    failures : list of str
    """
    log = world.directory / store
    log.mkdir()
    with ExitStack() as stack:
        world.reset("served")
        if store == "redis":
            address = stack.enter_context(redis_server(world.directory))
            os.environ.update(UBP_ONLINE_STORE="redis", UBP_REDIS=address)
            stack.callback(_unset, "UBP_ONLINE_STORE", "UBP_REDIS")
            world.reset("fitted")
            world.run(["publish"])
        _run(world.home, log, world.shop, readers, seconds)
    return _judged(log)


def _unset(*names: str) -> None:
    for name in names:
        del os.environ[name]


def _run(home: Path, log: Path, shop: Path, readers: int, seconds: float) -> None:
    until = time.time() + seconds
    jobs: list[tuple] = [(_publisher, home, log, until), (_encoder, home, log, shop, until)]
    jobs += [(_starter, home, log, number, until) for number in range(readers)]
    children = [forks.start(function, *rest) for function, *rest in jobs]
    for child in children:
        forks.wait(child, time.perf_counter() + seconds + forks.HUNG)


def _note(path: Path, **entry: object) -> None:
    with path.open("a") as file:
        file.write(json.dumps(entry) + "\n")


def _failure() -> str:
    """Return the error of now in a line: its type, its message, and where in the platform."""
    lines = traceback.format_exc().strip().splitlines()
    return lines[-1][:300]


def _digest(client: int, vector: bytes) -> str:
    return hashlib.sha256(f"{client} ".encode() + vector).hexdigest()[:20]


def _publisher(home: Path, log: Path, until: float) -> None:
    """Publish the newest cutoff, again and again."""
    while time.time() < until:
        try:
            publish(Home(home=home), "v1")
            _note(log / "publisher", ok=1)
        except Exception:
            _note(log / "publisher", failure=f"publish: {_failure()}")


def _encoder(home: Path, log: Path, shop: Path, until: float) -> None:
    """Encode later and later cutoffs, each of them twice."""
    place, path = Home(home=home), log / "encoder"
    start, number = datetime.fromisoformat(FIT).replace(tzinfo=UTC) + timedelta(days=4), 0
    _note(path, snapshots=_snapshots(home))
    while time.time() < until:
        try:
            # Another history: the snapshot of the same cutoff is replaced.
            relevant_clients(place, shop / "clients.npy" if number % 2 else None, not number % 2)
            encode(place, [start + timedelta(minutes=number // 2)], "v1")
            _note(path, snapshots=_snapshots(home, newest=True))
        except Exception:
            _note(path, failure=f"encode: {_failure()}")
        number += 1


def _snapshots(home: Path, newest: bool = False) -> list[str]:
    """Return a digest of every vector in the snapshots."""
    paths = sorted((home / "profiles" / "v1").glob("*.parquet"))
    found = []
    for path in paths[-1:] if newest else paths:
        table = pq.read_table(path, columns=["client_id", "embedding"])
        vectors = table["embedding"].combine_chunks().flatten().to_numpy()
        rows = vectors.reshape(len(table), -1)
        ids = table["client_id"].to_pylist()
        found += [_digest(client, row.tobytes()) for client, row in zip(ids, rows, strict=True)]
    return found


def _starter(home: Path, log: Path, number: int, until: float) -> None:
    """Start one reader after the other."""
    # Few cores: the readers must leave some of them to what they disturb.
    os.nice(5)
    while time.time() < until:
        child = forks.start(_reader, home, log / f"reader-{number}")
        forks.wait(child, time.perf_counter() + forks.HUNG)


def _reader(home: Path, path: Path) -> None:
    try:
        store = ProfileStore(Home(home=home))
        profiles = [found for found in store.lookup_many(range(1, CLIENTS)) if found.known]
        cutoffs = sorted({str(found.cutoff) for found in profiles})
        seen = [_digest(found.client_id, found.vector.tobytes()) for found in profiles[::40]]
        _note(path, cutoffs=cutoffs, seen=seen)
    except Exception:
        _note(path, failure=f"lookup: {_failure()}")
        return
    try:
        times = [datetime(2022, 11, day, tzinfo=UTC) for day in (21, 26)]
        rows = [(client, when) for client in range(1, 200) for when in times]
        frame = pd.DataFrame(rows, columns=["client_id", "event_timestamp"])
        made = store.training_set(frame)
        known = [place for place in range(0, len(rows), 40) if made.known[place]]
        seen = [_digest(rows[place][0], made.X[place].tobytes()) for place in known]
        _note(path, cutoffs=[], seen=seen)
    except Exception:
        _note(path, failure=f"training set: {_failure()}")


def _judged(log: Path) -> tuple[int, list[str]]:
    entries = [
        json.loads(line) for path in sorted(log.iterdir()) for line in path.read_text().splitlines()
    ]
    made = {digest for entry in entries for digest in entry.get("snapshots", ())}
    tries, failures = 0, []
    for entry in entries:
        tries += "snapshots" not in entry
        if "failure" in entry:
            failures.append(entry["failure"])
        elif len(entry.get("cutoffs", ())) > 1:
            failures.append(f"lookup: {len(entry['cutoffs'])} cutoffs in one answer")
        elif not made.issuperset(entry.get("seen", ())):
            failures.append("a vector that no snapshot holds")
    if not any("ok" in entry for entry in entries):
        failures.append("no publish was completed")
    return tries, failures
