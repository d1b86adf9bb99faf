"""What every benchmark reports: the machine, the peak memory, and its result."""

import json
import os
import platform
import threading
from abc import ABC, abstractmethod
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Self

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


class Beside(ABC):
    """Something that runs in a thread of its own during a ``with`` statement."""

    def __enter__(self) -> Self:
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()
        return self

    def __exit__(self, *details: object) -> None:
        self._done.set()
        self._thread.join()

    @abstractmethod
    def _run(self) -> None:
        """Run until ``_done`` is set."""


class PeakMemory(Beside):
    """Peak resident memory of this process during a ``with`` statement, in GB."""

    gigabytes = 0.0

    def _run(self) -> None:
        while True:
            pages = int(Path("/proc/self/statm").read_text().split()[1])
            self.gigabytes = max(self.gigabytes, pages * os.sysconf("SC_PAGE_SIZE") / 1e9)
            if self._done.wait(0.02):
                return


def report(benchmark: str, title: str, rows: list[tuple[str, str]], **result: object) -> None:
    """Print a table and, as the last line, JSON for programs."""
    table = Table(title=title, caption=describe(), title_justify="left", caption_justify="left")
    table.add_column("what")
    table.add_column("measured", justify="right")
    for row in rows:
        table.add_row(*row)
    Console().print(table)
    print(json.dumps({"benchmark": benchmark, **result}))
