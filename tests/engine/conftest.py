import os
from collections.abc import Iterator

import pytest

pytest.importorskip("ray")

import ray
from ray.cluster_utils import Cluster

from ubp_platform.engine.ray_engine import RayEngine


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """A Ray cluster of two nodes, of one CPU each."""
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    cluster.add_node(num_cpus=1)
    yield cluster
    ray.shutdown()
    cluster.shutdown()


@pytest.fixture
def engine(cluster: Cluster) -> RayEngine:
    """The engine on that cluster."""
    found = RayEngine(cluster.address)
    assert found.workers == 2
    return found


def workers_at_work() -> list[int]:
    """The processes that work on tasks at present."""
    from ray.util.state import list_tasks

    tasks = list_tasks(filters=[("state", "=", "RUNNING")], detail=True)
    return [task.worker_pid for task in tasks if task.worker_pid not in (None, os.getpid())]
