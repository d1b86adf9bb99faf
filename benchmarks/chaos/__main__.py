"""Run the rows and print the table."""

import argparse
import json
import os
import shutil
import sys
import tempfile
import time
from pathlib import Path
from random import Random

import benchmarks.chaos
from benchmarks.arguments import count
from benchmarks.chaos import forks
from benchmarks.chaos.damage import damage, damages
from benchmarks.chaos.readers import read_meanwhile, readers_world
from benchmarks.chaos.survival import compiled, is_loaded, kill, power
from benchmarks.chaos.table import Row, show, write
from benchmarks.chaos.world import WRITES, World, write_shop
from tests.store.redis_server import MISSING, PROGRAM

WHAT = {
    "kill": "`kill -9` at a random moment of a command that writes",
    "power": "the power is lost at a random change of a file",
    "readers": "readers start and look up during publishes, on {}",
    "damage": "a damaged file × a command, with the cure",
}
#: What a row does in a try.
ATTEMPTS = {"kill": kill, "power": power, "damage": damage}
#: Parts of the time.
SHARES = {"kill": 0.3, "power": 0.3, "damage": 0.3, "readers": 0.1}


def main() -> None:
    options = _options()
    with tempfile.TemporaryDirectory(prefix="chaos-") as name:
        directory = Path(name).resolve()
        _load_shim(options.only, directory)
        forks.preload()
        rows = _run(options, directory)
    if is_loaded():
        shutil.rmtree(Path(os.environ["LD_PRELOAD"]).parent)
    show(rows)
    if options.document:
        write(rows, options.document)
    print(json.dumps({row.name: [row.tries, row.failures, row.note] for row in rows}))
    sys.exit(any(row.failures for row in rows))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.chaos",
        description=benchmarks.chaos.__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--minutes", type=float, default=10, help="at most (default: %(default)s)")
    parser.add_argument("--tries", type=count, default=200, help="per row (default: %(default)s)")
    parser.add_argument("--damages", type=count, default=10_000, help="tries of `damage`; all")
    parser.add_argument(
        "--commands", nargs="+", choices=WRITES, default=[*WRITES], help="of `kill` and `power`"
    )
    parser.add_argument("--readers", type=count, default=20, help="(default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="(default: %(default)s)")
    parser.add_argument("--workers", type=count, default=2, help="(default: %(default)s)")
    parser.add_argument(
        "--only", nargs="+", choices=WHAT, default=[*WHAT], metavar="ROW", help=", ".join(WHAT)
    )
    parser.add_argument("--document", type=Path, help="a Markdown file whose table is replaced")
    return parser.parse_args()


def _load_shim(rows: list[str], directory: Path) -> None:
    """Start this program again with the shim, if a row needs it and a compiler is there."""
    if "power" not in rows or is_loaded():
        return
    if library := compiled(Path(tempfile.mkdtemp(prefix="chaos-shim-"))):
        os.environ["LD_PRELOAD"] = str(library)
        directory.rmdir()
        os.execv(sys.executable, [sys.executable, "-m", "benchmarks.chaos", *sys.argv[1:]])


def _run(options: argparse.Namespace, directory: Path) -> list[Row]:
    seconds = 60 * options.minutes / sum(SHARES[name] for name in options.only)
    rows = {name: Row(name, WHAT[name]) for name in options.only if name in ATTEMPTS}
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
        found += _readers(options.readers, directory / "readers", seconds * SHARES["readers"] / 2)
    return found


def _readers(readers: int, directory: Path, seconds: float) -> list[Row]:
    rows, world = [], readers_world(directory)
    for store, label in (("sqlite", "SQLite"), ("redis", "Redis")):
        row = Row(f"readers, {label}", WHAT["readers"].format(label))
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
    seed, commands = options.seed, options.commands
    if row == "damage":
        cases = damages(world)
        Random(seed).shuffle(cases)
        return [(case, f"{seed} {case}") for case in cases][: options.damages]
    tries = range(options.tries)
    return [(commands[number % len(commands)], f"{seed} {row} {number}") for number in tries]


if __name__ == "__main__":
    main()
