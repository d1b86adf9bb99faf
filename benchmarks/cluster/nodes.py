"""Clusters of one machine, their workers' memory, and killing workers."""

import random
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import psutil
import ray
from ray.cluster_utils import Cluster

from ubp_platform.engine.ray_engine import RayEngine


@contextmanager
def cluster(nodes: int) -> Iterator[RayEngine]:
    """Start a cluster with so many nodes of one CPU each."""
    found = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    for _ in range(nodes - 1):
        found.add_node(num_cpus=1)
    try:
        yield RayEngine(found.address)
    finally:
        ray.shutdown()
        found.shutdown()


def workers(busy: bool) -> list[psutil.Process]:
    """Return the processes of this program's workers that have a task, or of all."""
    wanted = ("ray::_do",) if busy else ("ray::_do", "ray::IDLE")
    found = []
    for one in psutil.Process().children(recursive=True):
        try:
            title = " ".join(one.cmdline())
        except psutil.NoSuchProcess:
            continue
        if title.startswith(wanted):
            found.append(one)
    return found


class Watch:
    """The resident memory of the largest worker over time, in GB."""

    def __enter__(self) -> "Watch":
        self.seen: list[float] = []
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._ended.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._ended.wait(0.5):
            sizes = []
            for one in workers(busy=False):
                try:
                    found = one.memory_info()
                except psutil.NoSuchProcess:
                    continue
                sizes.append((found.rss - found.shared) / 1e9)
            if sizes:
                self.seen.append(max(sizes))

    @property
    def peak(self) -> float:
        """The peak."""
        return max(self.seen, default=0.0)


class Killer:
    """Kills workers at random moments while a step runs, as many as are left to kill."""

    def __init__(self, chance: random.Random, left: int) -> None:
        # A task is done again ten times: fewer kills a step end no step.
        self._chance, self._left = chance, min(left, 3)
        self._ended = threading.Event()
        self.killed = 0
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> "Killer":
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._ended.set()
        self._thread.join()

    def _run(self) -> None:
        while self.killed < self._left and not self._ended.wait(self._chance.random()):
            if found := workers(busy=True):
                self._chance.choice(found).kill()
                self.killed += 1
                time.sleep(0.5)
