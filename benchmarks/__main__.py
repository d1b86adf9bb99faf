"""Run every benchmark of a single part, then print one table: ``make bench-parts``."""

import argparse
import json
import subprocess
import sys

from rich.console import Console
from rich.table import Table

SCRIPTS = (
    "ingest",
    "ingest_log",
    "handcrafted",
    "gru_training",
    "gru_encode",
    "next_url",
    "lightfm_codes",
    "evaluation",
    "simulate",
    "two_times",
)


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description=__doc__,
        epilog="\n".join(["It runs:", *(f"  python -m benchmarks.{name}" for name in SCRIPTS)]),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.parse_args()
    table = Table(title="Benchmarks", title_justify="left")
    table.add_column("command")
    table.add_column("result")
    for script in SCRIPTS:
        command = [sys.executable, "-W", "ignore", "-m", f"benchmarks.{script}"]
        run = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
        print(run.stdout)
        result = json.loads(run.stdout.strip().splitlines()[-1])
        del result["benchmark"]
        shown = ", ".join(f"{name} {value}" for name, value in result.items())
        table.add_row(f"python -m benchmarks.{script}", shown)
    Console(width=120).print(table)


if __name__ == "__main__":
    main()
