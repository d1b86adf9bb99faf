"""What Prometheus reads of the server."""

from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from functools import cache
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

from ubp_platform.errors import UBPError
from ubp_platform.serving.reading import Reader
from ubp_platform.similar.directory import SimilarDirectory

_BUCKETS = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)


class Metrics:
    """Counters of this process; of all workers where there are several.

    Parameters
    ----------
    reader : Reader
    shared : bool
        Whether there are several workers; ``PROMETHEUS_MULTIPROC_DIR`` was set then before this
        module was imported.
    """

    def __init__(self, reader: Reader, *, shared: bool = False) -> None:
        self._shared = shared
        self._registry = CollectorRegistry()
        self.requests = Counter(
            "ubp_requests",
            "Requests that were answered.",
            ("method", "path", "status"),
            registry=self._registry,
        )
        self.seconds = Histogram(
            "ubp_request_seconds",
            "How long answers took.",
            ("path",),
            buckets=_BUCKETS,
            registry=self._registry,
        )
        self.profiles = Counter(
            "ubp_profiles",
            "Profiles that were looked up; of unknown clients the mean profile.",
            ("known",),
            registry=self._registry,
        )
        self._served = _Served(reader)
        self._known, self._unknown = (self.profiles.labels(one) for one in ("true", "false"))

    @cache  # noqa: B019 - there is one in a process
    def of(self, method: str, path: str, status: int) -> tuple[Counter, Histogram]:
        """Return what counts the answers of a path, and how long they took."""
        return self.requests.labels(method, path, str(status)), self.seconds.labels(path)

    def count_profiles(self, known: int, unknown: int) -> None:
        """Count clients that were looked up."""
        for counter, number in ((self._known, known), (self._unknown, unknown)):
            if number:
                counter.inc(number)

    def text(self) -> bytes:
        """Return everything in Prometheus's text format."""
        registry = self._registry
        if self._shared:
            registry = CollectorRegistry()
            registry.register(_OfAllWorkers())
        served = CollectorRegistry()
        served.register(self._served)
        return generate_latest(registry) + generate_latest(served)


class _OfAllWorkers(Collector):
    """The counters of all workers, from their files; without those of Feast, which are empty."""

    def collect(self) -> Iterator[Metric]:
        """Yield their sums."""
        found: Any = MultiProcessCollector(None)
        yield from (metric for metric in found.collect() if metric.name.startswith("ubp_"))


class _Served(Collector):
    """Which version is served, and how fresh it is."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    def collect(self) -> Iterator[Metric]:
        """Yield the gauges; none before the first publish."""
        served = self._reader.served()
        if served is None:
            return
        info = GaugeMetricFamily(
            "ubp_served_version", "The version that is served by default.", labels=["version"]
        )
        info.add_metric([served.version], 1)
        yield info
        cutoff = datetime.fromisoformat(served.cutoff)
        for name, about, value in (
            ("cutoff", "Served profiles know the events before this time.", cutoff.timestamp()),
            ("age", "Time since then.", (datetime.now(UTC) - cutoff).total_seconds()),
        ):
            yield GaugeMetricFamily(f"ubp_served_{name}_seconds", about, value=value)
        if newest := self._newest_event(served.version):
            yield GaugeMetricFamily(
                "ubp_served_newest_event_seconds",
                "The newest event that served profiles know, as the index of similar clients says.",
                value=newest.timestamp(),
            )
        yield GaugeMetricFamily("ubp_served_clients", "Clients with a profile.", served.clients)

    def _newest_event(self, version: str) -> datetime | None:
        with suppress(UBPError):
            found = SimilarDirectory(self._reader.store(version).version).read()
            return found.newest_event if found else None
        return None
