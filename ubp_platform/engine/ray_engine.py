"""The engine that works on a Ray cluster.

A task is repeated where its worker or its node is lost, as often as :data:`TRIES` says. Tasks write
nothing that anybody reads: the process that began the step writes the results, as it does without
Ray.
"""

import logging
import os
import socket
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from itertools import islice
from typing import Any
from uuid import uuid4

import ray
from ray import ObjectRef
from ray.exceptions import RayError, RayTaskError

from ubp_platform.engine.base import Engine, Item, Result
from ubp_platform.errors import StoreUnavailable, UBPError, first_line
from ubp_platform.progress import LOG

#: How often a task is done again whose worker was lost.
TRIES = 10
# Of a node's memory, what the DuckDBs of all its workers may use together, in percent.
_MEMORY = 50
# The work that this worker process does; the one before is gone.
_known: dict[str, Callable[[Any], Any]] = {}


@ray.remote(num_cpus=1, max_retries=TRIES, retry_exceptions=[StoreUnavailable])  # type: ignore[call-overload]
def _do(key: str, work: list[ObjectRef], settings: dict[str, str], item: Any) -> Any:
    if key not in _known:
        _known.clear()
        os.environ.update(settings)
        _known[key] = ray.get(work[0])
    return _known[key](item)


class RayEngine(Engine):
    """Works on all CPUs of a Ray cluster, a task for each.

    Parameters
    ----------
    address : str, optional
        Of the cluster; by default that of ``RAY_ADDRESS``. Without either, one is started on this
        machine, and ends with this process.

    Raises
    ------
    UBPError
        If there is no cluster at the address.
    """

    reads_lake = True

    def __init__(self, address: str | None = None) -> None:
        if not ray.is_initialized():
            # What a cluster of ours does concerns nobody else.
            os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
            where = address or os.environ.get("RAY_ADDRESS") or "local"
            LOG.info("start Ray on this machine" if where == "local" else f"join Ray at {where}")
            # It would say on stdout, among the results, that a worker was lost.
            ray._private.worker._worker_logs_enabled = False
            try:
                _require_listener(where)
                ray.init(
                    address=where,
                    include_dashboard=False if where == "local" else None,
                    log_to_driver=False,
                    logging_level=logging.ERROR,
                )
            except (ConnectionError, RuntimeError, ValueError, OSError) as error:
                raise UBPError(
                    f"no Ray cluster that can be used answers at {where}: {first_line(error)}; "
                    "`ray status` on its head node says whether it is up"
                ) from None
        nodes = [node for node in ray.nodes() if node["Alive"]]
        #: CPUs of all nodes together.
        self.workers = int(sum(node["Resources"].get("CPU", 0) for node in nodes))
        if not self.workers:
            raise UBPError("the Ray cluster has no CPU: start nodes with `ray start --num-cpus N`")
        LOG.info(f"Ray: CPUs: {self.workers}, nodes: {len(nodes)}")
        most = max(int(node["Resources"].get("CPU", 0)) for node in nodes)
        self._settings = {
            "UBP_THREADS": "1",
            "UBP_MEMORY_LIMIT": f"{_MEMORY / most:.2f}%",
            "OMP_NUM_THREADS": "1",
        }
        #: Items that are sent before the first result is taken.
        self.window = 2 * self.workers

    def in_order(self, work: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
        """Yield the results in the order of the items."""
        send = self._sender(work)
        waiting: deque[tuple[Item, ObjectRef]] = deque()
        with _cancelling(lambda: [ref for _, ref in waiting]):
            for item in items:
                waiting.append((item, send(item)))
                if len(waiting) >= self.window:
                    yield _result(*waiting.popleft())
            while waiting:
                yield _result(*waiting.popleft())

    def as_finished(
        self, work: Callable[[Item], Result], items: Iterable[Item]
    ) -> Iterator[tuple[Item, Result]]:
        """Yield each item with its result as soon as there is one."""
        send, rest = self._sender(work), iter(items)
        waiting = {send(item): item for item in islice(rest, self.window)}
        with _cancelling(lambda: list(waiting)):
            while waiting:
                [done], _ = ray.wait(list(waiting))
                item = waiting.pop(done)
                yield item, _result(item, done)
                waiting.update((send(one), one) for one in islice(rest, 1))

    def _sender(self, work: Callable[[Item], Result]) -> Callable[[Item], ObjectRef]:
        key, sent = uuid4().hex, ray.put(work)
        # In a list, so that a worker reads it when it needs it, and not before each task.
        return lambda item: _do.remote(key, [sent], self._settings, item)


def _require_listener(address: str) -> None:
    """Raise OSError if nothing listens at ``host:port``: Ray would try for minutes."""
    host, _, port = address.rpartition(":")
    if host and "/" not in address and port.isdigit():
        socket.create_connection((host.strip("[]"), int(port)), timeout=5).close()


def _result(item: Any, ref: ObjectRef) -> Any:
    """Wait for a task; its errors name the item."""
    try:
        return ray.get(ref)
    except RayTaskError as error:
        if isinstance(cause := error.cause, UBPError):
            raise type(cause)(f"{item}: {cause}") from None
        if isinstance(cause, ImportError):
            raise UBPError(
                f"{item}: {first_line(cause)} on a worker: all nodes need the same packages"
            ) from None
        raise cause from error
    except RayError as error:
        raise UBPError(
            f"{item}: its worker was lost {TRIES + 1} times ({first_line(error)}). If it was "
            "killed for want of memory, give each worker more (fewer CPUs a node), or make buckets "
            "smaller: `ubp lake --bucket-clients`. The same command goes on from here"
        ) from None


@contextmanager
def _cancelling(waiting: Callable[[], list[ObjectRef]]) -> Iterator[None]:
    """Cancel what is still waiting where the caller stops early."""
    try:
        yield
    finally:
        for ref in waiting():
            ray.cancel(ref, force=True)
