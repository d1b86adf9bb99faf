"""Clusters of one machine, their workers' memory, and killing workers."""

import random
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import psutil
import ray
from ray.cluster_utils import Cluster

from benchmarks.machine import Beside
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


class Watch(Beside):
    """The peak of the resident memory of the largest worker, in GB."""

    peak = 0.0

    def _run(self) -> None:
        while not self._done.wait(0.5):
            for one in workers(busy=False):
                with suppress(psutil.NoSuchProcess):
                    found = one.memory_info()
                    self.peak = max(self.peak, (found.rss - found.shared) / 1e9)


class Killer(Beside):
    """Kills workers at random moments while a step runs, as many as are left to kill."""

    def __init__(self, chance: random.Random, left: int) -> None:
        # A task is done again ten times: fewer kills a step end no step.
        self._chance, self._left = chance, min(left, 3)
        self.killed = 0

    def _run(self) -> None:
        while self.killed < self._left and not self._done.wait(self._chance.random()):
            if found := workers(busy=True):
                self._chance.choice(found).kill()
                self.killed += 1
                time.sleep(0.5)
