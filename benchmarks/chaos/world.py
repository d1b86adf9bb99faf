"""A tiny shop, homes made from it, and the commands that are run on copies of them."""

import json
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.chaos import forks
from benchmarks.chaos.state import Found, fingerprint
from ubp_platform.errors import UBPError
from ubp_platform.events.schema import EVENT_TYPES
from ubp_platform.simulation.simulator import simulate

FIT, LATER = "2022-11-20", "2022-11-24"
SAMPLE = 5
"""A client that is looked up."""


@dataclass(frozen=True)
class Command:
    """A command line; ``base`` is the home that it runs on."""

    base: str
    arguments: tuple[str, ...]


def _command(base: str, text: str) -> Command:
    return Command(base, tuple(text.split()))


# `evaluate` is left out: fitting its heads takes half a minute.
WRITES = {
    "ingest": _command("served", "ingest {shop}/third"),
    "ingest --replace": _command("served", "ingest {shop}/corrected --replace 2"),
    "revert": _command("served", "revert 2"),
    "clients": _command("served", "clients {shop}/clients.npy"),
    "train": _command("served", f"train counters ials_categories --cutoff {LATER}"),
    "encode": _command("served", "encode --cutoff 2022-11-22"),
    "first publish": _command("fitted", "publish"),
    "publish": _command("served", "publish"),
    "refresh": _command("grown", "refresh"),
    "publish of changes": _command("refreshed", "publish"),
    "align": _command("retrained", "align v2 --to v1"),
    "tag": _command("served", "tag v1 production"),
    "forget": _command("served", f"forget {SAMPLE} 7"),
    "training-set": _command("served", "training-set {shop}/entities.parquet {out}/set.parquet"),
    "export": _command("served", "export {out}/export --blocks counters"),
}
READS = {
    "status": _command("served", "status --json"),
    "blocks": _command("served", "blocks --json"),
    "profile": _command("served", f"profile {SAMPLE} --json"),
    "explain": _command("served", f"explain {SAMPLE}"),
    "quarantine": _command("served", "quarantine --json"),
}
COMMANDS = WRITES | READS


class World:
    """The homes of one worker; each try starts from a fresh copy, always at the same path.

    Parameters
    ----------
    directory : Path
        Of the worker.
    shop : Path
        The deliveries, from :func:`write_shop`.
    """

    def __init__(self, directory: Path, shop: Path) -> None:
        self.directory, self.shop = directory, shop
        self.root = directory / "try"
        self.home, self.out = self.root / "home", self.root / "out"
        self.expected: dict[str, Any] = {}
        self._fresh()
        self.build("fitted", "ingest {shop}/first", "ingest {shop}/second", _train())
        self.build("served", "publish", f"encode --cutoff {LATER}")
        self.build("retrained", f"train ials_categories --cutoff {LATER} --seed 1")
        self.reset("served")
        self.build("grown", "publish", "ingest {shop}/fourth")
        self.build("refreshed", "refresh")

    def _fresh(self) -> None:
        shutil.rmtree(self.root, ignore_errors=True)
        self.out.mkdir(parents=True)

    def build(self, name: str, *commands: str) -> None:
        """Run commands on the home, and keep it as a base."""
        for text in commands:
            outcome = self.run(text.split())
            if outcome.code:
                raise UBPError(f"ubp {text}: {outcome.err}")
        shutil.copytree(self.home, self.directory / "bases" / name, dirs_exist_ok=True)

    def reset(self, base: str) -> None:
        """Begin a try: the home is a copy of a base."""
        self._fresh()
        shutil.copytree(self.directory / "bases" / base, self.home)

    def arguments(self, texts: Iterable[str]) -> list[str]:
        """Complete a command line."""
        places = {"shop": self.shop, "out": self.out}
        return [*(text.format(**places) for text in texts), "--home", str(self.home)]

    def run(self, texts: Iterable[str], kill_after: float = forks.HUNG) -> forks.Outcome:
        """Run a command on the home."""
        return forks.run(self.arguments(texts), kill_after)

    def state(self) -> Found:
        """Read everything that the home and the output directory hold, in another process."""
        path = self.directory / "state.json"
        path.unlink(missing_ok=True)
        forks.call(_write_state, self.home, self.out, path)
        return json.loads(path.read_text())


def _train() -> str:
    return f"train counters ials_categories --cutoff {FIT}"


def _write_state(home: Path, out: Path, path: Path) -> None:
    path.write_text(json.dumps(fingerprint(home, out)))


def write_shop(directory: Path, clients: int = 120) -> Path:
    """Write deliveries of a simulated shop: ``first``, ``second``, ``corrected`` and ``third``.

    The ``fourth`` has the third's events of some clients.
    """
    whole = directory / "whole"
    simulate(whole, clients=clients, days=60)
    times = [None, pd.Timestamp(FIT), pd.Timestamp("2022-11-25"), None]
    for name, start, end in zip(("first", "second", "third"), times, times[1:], strict=False):
        _deliver(whole, directory / name, start, end)
    _deliver(whole, directory / "corrected", times[1], times[2] - pd.Timedelta("12h"))
    _deliver(whole, directory / "fourth", times[2], None, some=5)
    shutil.copy(whole / "product_properties.parquet", directory / "first")
    np.save(directory / "clients.npy", np.arange(1, clients // 2))
    when = [datetime(2022, 11, day, tzinfo=UTC) for day in (19, 21, 25)]
    entities = [(client, time) for time in when for client in range(1, clients)]
    frame = pd.DataFrame(entities, columns=["client_id", "event_timestamp"])
    frame.to_parquet(directory / "entities.parquet")
    return directory


def _deliver(
    whole: Path,
    place: Path,
    start: pd.Timestamp | None,
    end: pd.Timestamp | None,
    some: int = 1,
) -> None:
    place.mkdir()
    for event in EVENT_TYPES:
        frame = pd.read_parquet(whole / f"{event}.parquet")
        times = pd.to_datetime(frame["timestamp"])
        kept = frame["client_id"] % some == 0
        if start is not None:
            kept &= times >= start
        if end is not None:
            kept &= times < end
        frame[kept].to_parquet(place / f"{event}.parquet", index=False)
