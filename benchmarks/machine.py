"""What every benchmark reports: the machine, the peak memory, and its result."""

import json
import os
import platform
import threading
import time
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from rich.console import Console
from rich.table import Table

PACKAGES = ("duckdb", "feast", "great-expectations", "pandas", "torch")


def today() -> str:
    return f"{datetime.now(UTC):%Y-%m-%d}"


def describe() -> str:
    """Describe the machine and the versions in one line."""
    cpu = next(
        (
            line.split(":")[1].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if line.startswith("model name")
        ),
        platform.machine(),
    )
    packages = ", ".join(f"{name} {version(name)}" for name in PACKAGES)
    return (
        f"{today()}, {os.cpu_count()} cores, {cpu}, Python {platform.python_version()}, {packages}"
    )


class PeakMemory:
    """Peak resident memory of this process during a ``with`` statement, in GB."""

    def __enter__(self):
        self.gigabytes, self._done = 0.0, threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()
        return self

    def _watch(self):
        while not self._done.is_set():
            pages = int(Path("/proc/self/statm").read_text().split()[1])
            self.gigabytes = max(self.gigabytes, pages * os.sysconf("SC_PAGE_SIZE") / 1e9)
            time.sleep(0.02)

    def __exit__(self, *details):
        self._done.set()
        self._thread.join()


def report(benchmark: str, title: str, rows: list[tuple[str, str]], **result: object) -> None:
    """Print a table and, as the last line, JSON for programs."""
    table = Table(title=title, caption=describe(), title_justify="left", caption_justify="left")
    table.add_column("what")
    table.add_column("measured", justify="right")
    for row in rows:
        table.add_row(*row)
    Console().print(table)
    print(json.dumps({"benchmark": benchmark, **result}))
