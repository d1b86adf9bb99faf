"""Each step on a copy of a home, and a hash of what it gives."""

import hashlib
import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
from rich.console import Console

from pipelines.audit import audit
from pipelines.index import index
from pipelines.publish import publish
from pipelines.refresh import refresh
from pipelines.train import train
from tests.store.redis_server import PROGRAM, redis_server
from ubp_platform.blocks.snapshot import iterate
from ubp_platform.engine.base import Engine
from ubp_platform.home import Home
from ubp_platform.profile.listing import newest_version
from ubp_platform.progress import Advance, ProgressFactory, bars
from ubp_platform.similar import vectors
from ubp_platform.store.retrieval import ProfileStore
from ubp_platform.times import parse_time

#: The simulated log ends at this midnight; profiles are of the day before, and then refreshed.
END = parse_time("2022-11-28")
CUTOFF = END - timedelta(days=1)
#: Clients to learn from: the steps after a fit are measured.
SAMPLE = 2000
PROGRESS = bars(Console(stderr=True))


def hash_of(home: Home) -> str:
    """Hash clients and vectors of all snapshots."""
    digest = hashlib.sha256()
    for path in sorted([*home.snapshots.rglob("*.parquet"), *home.profiles.glob("*/*.parquet")]):
        digest.update(str(path.relative_to(home.root)).encode())
        parts = list(iterate(path))
        digest.update(np.concatenate([ids for ids, _ in parts]).tobytes())
        for _, some in parts:
            digest.update(np.ascontiguousarray(some).tobytes())
    return digest.hexdigest()


class Timed:
    """Shows progress, and remembers how long each step took."""

    def __init__(self, show: ProgressFactory) -> None:
        self._show, self._steps = show, list[tuple[str, float]]()

    @contextmanager
    def __call__(self, description: str, total: float | None, unit: str) -> Iterator[Advance]:
        start = time.perf_counter()
        with self._show(description, total, unit) as advance:
            yield advance
        self._steps.append((description, time.perf_counter() - start))

    def seconds(self, word: str) -> float:
        """Return how long the steps took that have a word in their names."""
        return sum(seconds for name, seconds in self._steps if word in name)


@dataclass(frozen=True)
class Steps:
    """The steps of a fitted home.

    Parameters
    ----------
    base : Home
        Fitted, encoded at :data:`CUTOFF`, with a lake.
    blocks : tuple of str
    directory : Path
        For copies.
    """

    base: Home
    blocks: tuple[str, ...]
    directory: Path

    @contextmanager
    def home(self, encoded: bool = True) -> Iterator[Home]:
        """Copy the home, without what was encoded if that is wanted."""
        path = self.directory / "copy"
        shutil.rmtree(path, ignore_errors=True)
        # Files that never change need no copy.
        home = Home(shutil.copytree(self.base.root, path, copy_function=os.link))
        for name in ("home.json", "warehouse.duckdb"):
            (path / name).unlink()
            shutil.copy2(self.base.root / name, path / name)
        for gone in () if encoded else (home.snapshots, home.profiles, path / "names"):
            shutil.rmtree(gone)
        yield home
        shutil.rmtree(path)

    @property
    def all(self) -> dict[str, Callable[[Engine], str]]:
        """The steps by name."""
        steps: dict[str, Callable[[Engine], str]] = {
            "encode": self.encode,
            "refresh": self.refresh,
            "training set": self.training_set,
            "index of similar clients": self.index,
        }
        if PROGRAM:
            steps |= {"publish to Redis": self.publish, "audit": self.audit}
        return steps

    def encode(self, engine: Engine, progress: ProgressFactory = PROGRESS) -> str:
        with self.home(encoded=False) as home:
            train(
                home,
                self.blocks,
                CUTOFF,
                progress=progress,
                clients_sample=SAMPLE,
                engine=engine,
            )
            return hash_of(home)

    def refresh(self, engine: Engine) -> str:
        with self.home() as home:
            done = refresh(home, cutoff=END, progress=PROGRESS, engine=engine)
            assert not done.whole
            return hash_of(home)

    def training_set(self, engine: Engine) -> str:
        with self.home() as home:
            clients = self._clients()
            times: list[datetime] = [CUTOFF, END, CUTOFF - timedelta(days=9)]
            rows = pd.DataFrame(
                {
                    "client_id": np.tile(clients, len(times)),
                    "event_timestamp": np.repeat(times, len(clients)),
                }
            )
            found = ProfileStore(home).training_set(rows, PROGRESS, engine=engine)
            return hashlib.sha256(found.X.tobytes() + found.known.tobytes()).hexdigest()

    def publish(self, engine: Engine) -> str:
        with self._served(engine) as home:
            digest = hashlib.sha256()
            for one in ProfileStore(home).lookup_many(self._clients().tolist()):
                digest.update(one.vector.tobytes() + str((one.known, one.cutoff)).encode())
            return digest.hexdigest()

    def audit(self, engine: Engine) -> str:
        with self._served(engine) as home:
            found = audit(home, 2000, PROGRESS, engine)
            assert found.computed >= 2000
            assert not found.differences
            return str(found.computed)

    def index(self, engine: Engine) -> str:
        before = vectors.EXACT, vectors._IN_PIECE
        vectors.EXACT, vectors._IN_PIECE = 1000, 2048
        try:
            with self.home() as home:
                publish(home, progress=PROGRESS)
                index(home, progress=PROGRESS, engine=engine)
                files = newest_version(home).directory.glob("similar/*.faiss")
                return hashlib.sha256(b"".join(map(Path.read_bytes, files))).hexdigest()
        finally:
            vectors.EXACT, vectors._IN_PIECE = before

    @contextmanager
    def _served(self, engine: Engine) -> Iterator[Home]:
        """Publish to a Redis server."""
        with redis_server(self.directory) as server, self.home() as home:
            os.environ |= {"UBP_ONLINE_STORE": "redis", "UBP_REDIS": server}
            try:
                publish(home, progress=PROGRESS, engine=engine)
                yield home
            finally:
                del os.environ["UBP_ONLINE_STORE"], os.environ["UBP_REDIS"]

    def _clients(self) -> np.ndarray:
        [snapshot] = newest_version(self.base).snapshots
        return np.concatenate([ids for ids, _ in iterate(snapshot.path)])
