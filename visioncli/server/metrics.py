"""What Prometheus may know: requests, their seconds, queues, batches, the device's time, readiness, loaded models.

One registry a server, at GET /metrics of each of its ports. A route is its template, never a path: the number of series
is bounded whatever clients send. Knows nothing of dialects beyond their names.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Histogram, ProcessCollector
from prometheus_client import generate_latest as exposition
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from visioncli.server.access import Exchange, Template
from visioncli.server.service import Service

PATH = "/metrics"
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH"})  # all others are counted as OTHER
SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 600)  # up to the longest deadline
BATCH_SIZES = (1, 2, 4, 8, 16, 32, 64)  # powers of two, as batches are


class Metrics:
    """Counts what is shown to it: `saw` an exchange, `ran` a batch. `ran` may be called from any thread."""

    def __init__(self, service: Service, dialects: Sequence[str]) -> None:
        self.registry = CollectorRegistry()
        self._requests = Counter(
            "visioncli_requests", "Requests answered.", ("api", "route", "method", "status"), registry=self.registry
        )
        self._seconds = Histogram(
            "visioncli_request_seconds",
            "From a request's first byte to its answer's last.",
            ("api", "route"),
            buckets=SECONDS,
            registry=self.registry,
        )
        self._sizes = Histogram(
            "visioncli_batch_size",
            "Pictures or texts in a forward pass.",
            ("device",),
            buckets=BATCH_SIZES,
            registry=self.registry,
        )
        self._device = Counter(
            "visioncli_device_seconds", "Spent in forward passes.", ("device",), registry=self.registry
        )
        self._children: dict[tuple[str, str, str, int], tuple[Callable[[], None], Callable[[float], None]]] = {}
        self.registry.register(_Standing(service, dialects))
        ProcessCollector(registry=self.registry)
        service.on_batch.append(self.ran)

    def saw(self, exchange: Exchange) -> None:
        """Count an exchange that has ended."""
        method = exchange.method if exchange.method in METHODS else "OTHER"
        key = exchange.api, exchange.route, method, exchange.status
        if key not in self._children:  # looked up once: `labels` costs more than counting
            count = self._requests.labels(*map(str, key))
            self._children[key] = count.inc, self._seconds.labels(exchange.api, exchange.route).observe
        count_one, observe = self._children[key]
        count_one()
        observe(exchange.seconds)

    def ran(self, device: str, size: int, seconds: float) -> None:
        """Count a forward pass."""
        self._sizes.labels(device).observe(size)
        self._device.labels(device).inc(seconds)


class _Standing(Collector):
    """What is so at the moment that somebody asks."""

    def __init__(self, service: Service, dialects: Sequence[str]) -> None:
        self._service, self._dialects = service, dialects

    def collect(self) -> Iterator[Metric]:
        yield GaugeMetricFamily(
            "visioncli_ready", "Whether a request would be answered now.", float(self._service.ready)
        )
        depth = GaugeMetricFamily("visioncli_queue_depth", "Requests being answered or waiting.", labels=("api",))
        loaded = GaugeMetricFamily(
            "visioncli_model_loaded", "Whether an API's model is in memory.", labels=("api", "role", "model")
        )
        for dialect in self._dialects:
            depth.add_metric((dialect,), self._service.depth(dialect))
            for role, standing in self._service.status(dialect).items():
                loaded.add_metric((dialect, role, standing.model), float(standing.loaded))
        yield depth
        yield loaded


def with_metrics(app: ASGIApp, metrics: Metrics) -> ASGIApp:
    """Wrap an app: GET /metrics is answered with Prometheus' text, all else by the app."""

    async def answered(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] != PATH or scope["method"] not in ("GET", "HEAD"):
            await app(scope, receive, send)
            return
        scope["route"] = Template(PATH)
        response = Response(exposition(metrics.registry), headers={"content-type": CONTENT_TYPE_LATEST})
        await response(scope, receive, send)

    return answered
