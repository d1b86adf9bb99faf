"""Run the rows and print the table."""

import argparse
import json
import os
import shutil
import sys
import tempfile
from pathlib import Path

import benchmarks.chaos
from benchmarks.arguments import count
from benchmarks.chaos.shim import compiled, is_loaded
from benchmarks.chaos.table import show, write
from ubp_platform.store.fast_import import fast_feast_import

WHAT = {
    "kill": "`kill -9` at a random moment of a command that writes",
    "power": "the power is lost at a random change of a file",
    "readers": "readers start and look up during publishes, on {}",
    "damage": "a damaged file × a command, with the cure",
}


def main() -> None:
    options = _options()
    with tempfile.TemporaryDirectory(prefix="chaos-") as name:
        directory = Path(name).resolve()
        _load_shim(options.only, directory)
        fast_feast_import()
        # Takes long, and only this process goes on.
        from benchmarks.chaos import forks
        from benchmarks.chaos.rows import run

        forks.preload()
        rows = run(options, directory, WHAT)
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
        "--commands", nargs="+", metavar="COMMAND", help="of `kill` and `power`; all"
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


if __name__ == "__main__":
    main()
