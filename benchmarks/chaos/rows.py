"""Making the tries of all rows."""

import argparse
import json
import sys
import time
from pathlib import Path
from random import Random

from benchmarks.chaos import forks
from benchmarks.chaos.damage import damage, damages
from benchmarks.chaos.readers import read_meanwhile, readers_world
from benchmarks.chaos.shim import is_loaded
from benchmarks.chaos.survival import kill, power
from benchmarks.chaos.table import Row
from benchmarks.chaos.world import WRITES, World, write_shop
from tests.store.redis_server import MISSING, PROGRAM

#: What a row does in a try.
ATTEMPTS = {"kill": kill, "power": power, "damage": damage}
#: Parts of the time.
SHARES = {"kill": 0.3, "power": 0.3, "damage": 0.3, "readers": 0.1}


def run(options: argparse.Namespace, directory: Path, what: dict[str, str]) -> list[Row]:
    """Make the tries; return the rows of the table, each with its description of ``what``."""
    if unknown := {*(options.commands or ())} - WRITES.keys():
        sys.exit(f"no command is called {min(unknown)!r}; there are {', '.join(WRITES)}")
    seconds = 60 * options.minutes / sum(SHARES[name] for name in options.only)
    rows = {name: Row(name, what[name]) for name in options.only if name in ATTEMPTS}
    if "power" in rows and not is_loaded():
        rows["power"].note = "not run: no C compiler"
    if active := [name for name in rows if not rows[name].note]:
        shop = directory / "shop"
        shop.mkdir()
        forks.call(write_shop, shop)
        for result in _attempts(options, directory, active, seconds):
            rows[result["row"]].tries += 1
            if result["failure"]:
                rows[result["row"]].failures.append(f"[{result['case']}] {result['failure']}")
    found = [*rows.values()]
    if "readers" in options.only:
        each = seconds * SHARES["readers"] / 2
        found += _readers(options.readers, directory / "readers", each, what["readers"])
    return found


def _readers(readers: int, directory: Path, seconds: float, what: str) -> list[Row]:
    rows, world = [], readers_world(directory)
    for store, label in (("sqlite", "SQLite"), ("redis", "Redis")):
        row = Row(f"readers, {label}", what.format(label))
        if store == "redis" and PROGRAM is None:
            row.note = f"not run: {MISSING}"
        else:
            row.tries, row.failures = read_meanwhile(world, store, readers, seconds)
        rows.append(row)
    return rows


def _attempts(
    options: argparse.Namespace, directory: Path, rows: list[str], seconds: float
) -> list[dict]:
    """Make the tries of some rows in parallel."""
    children = []
    for number in range(options.workers):
        place = directory / f"worker-{number}"
        place.mkdir()
        children.append(forks.start(_worker, options, place, number, rows, seconds, streams=place))
    for number, child in enumerate(children):
        if forks.wait(child, time.perf_counter() + 2 * seconds + forks.HUNG):
            sys.exit((directory / f"worker-{number}" / "err").read_text())
    lines = [path.read_text().splitlines() for path in directory.glob("worker-*/results")]
    return [json.loads(line) for part in lines for line in part]


def _worker(
    options: argparse.Namespace, place: Path, number: int, rows: list[str], seconds: float
) -> None:
    """Make this worker's part of the tries; a row ends when its share of the time is over."""
    world = World(place, place.parent / "shop")
    with (place / "results").open("a") as results:
        for row in rows:
            until = time.time() + seconds * SHARES[row]
            for case, seed in _planned(options, world, row)[number :: options.workers]:
                if time.time() > until:
                    break
                failure = ATTEMPTS[row](world, case, Random(seed))
                result = {"row": row, "case": case, "failure": failure, "seed": seed}
                results.write(json.dumps(result) + "\n")
                results.flush()


def _planned(options: argparse.Namespace, world: World, row: str) -> list[tuple[str, str]]:
    """Return the tries: cases and seeds. Commands in turn; damages in a random order."""
    seed, commands = options.seed, options.commands or [*WRITES]
    if row == "damage":
        cases = damages(world)
        Random(seed).shuffle(cases)
        return [(case, f"{seed} {case}") for case in cases][: options.damages]
    tries = range(options.tries)
    return [(commands[number % len(commands)], f"{seed} {row} {number}") for number in tries]
