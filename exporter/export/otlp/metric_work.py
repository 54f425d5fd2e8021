"""Turns of a destination for metrics: the state of all series, at each interval.

Nothing is queued. While a destination is away the series go on in the ledger, and the first request
that it takes again tells of all that happened.
"""

import time
from collections.abc import Iterator

import msgspec
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from prometheus_client.registry import Collector

from exporter.export.otlp.memory import Memory
from exporter.export.otlp.metrics import DestinationMetrics
from exporter.export.otlp.own_metrics import own_metrics
from exporter.export.otlp.sender import Deliver, Refuse
from exporter.export.otlp.series import POINTS_A_PAGE, FamilyMessage, Window
from exporter.export.otlp.settings import MetricSettings
from exporter.export.otlp.transport import DeliveryError
from exporter.export.otlp.windows import FamilyWindows, ToldSeries
from exporter.ledger import FamilySnapshot, SeriesReader

REQUEST_BYTES = 900_000
"""Of a request that is joined of pages: proxies refuse more than 1 MiB by default."""

FEWEST_POINTS = 50
"""Of a page, for a receiver to which requests are too large: some 25 KB of histograms."""

_KEY = "told of "
"""Before an instrument's name: key of what was told of it, for deltas."""

Parts = list[tuple[FamilyWindows, Window, slice]]


class MetricWork:
    """The ledger's series, and the metrics about the exporter itself, for one destination.

    Args:
        about_itself: those.
        memory: what was told, which deltas go on from after a restart.
    """

    def __init__(
        self,
        series: SeriesReader,
        about_itself: Collector,
        settings: MetricSettings,
        resource: Resource,
        memory: Memory,
        metrics: DestinationMetrics,
    ) -> None:
        self._series = series
        self._about_itself = about_itself
        self._resource = resource
        self._settings = settings
        self._memory = memory
        self._metrics = metrics
        known = memory.read() if settings.is_delta else {}
        self._most_points = POINTS_A_PAGE
        self._messages = {}
        self._windows = {}
        for instrument in series.instruments:
            name = instrument.name
            self._messages[name] = FamilyMessage(
                instrument,
                resource,
                is_delta=settings.is_delta,
                is_exponential=settings.is_exponential,
            )
            told = msgspec.msgpack.decode(known.get(_KEY + name, b"\x90"), type=list[ToldSeries])
            self._windows[name] = FamilyWindows(is_delta=settings.is_delta, told=told)
        metrics.wait(0, time.time())

    def turn(self, deliver: Deliver, refuse: Refuse) -> float:
        """See `Work`. A request that is refused for good does not keep the others from going."""
        began = time.monotonic()
        families = self._series.snapshot()
        now = time.time_ns()
        told: set[FamilyWindows] = set()
        is_whole = True
        try:
            for request, parts in self._requests(families, now):
                try:
                    deliver(request)
                except DeliveryError as error:
                    if error.is_too_large and self._most_points > FEWEST_POINTS:
                        self._most_points = max(FEWEST_POINTS, self._most_points // 2)
                        return 0.0
                    if not error.is_final:
                        raise
                    refuse(_points(request), str(error))
                    is_whole = False
                else:
                    for windows, window, part in parts:
                        windows.delivered(window, part)
                        told.add(windows)
        finally:
            self._remember(families, told)
        for family in families:
            self._windows[family.instrument.name].finished(family)
        if is_whole:
            self._metrics.wait(0, now / 1e9)
        # By one only: each time that this reaches a receiver's limit, a request is refused.
        self._most_points = min(POINTS_A_PAGE, self._most_points + 1)
        return max(0.0, self._settings.interval_s - (time.monotonic() - began))

    def _requests(self, families: list[FamilySnapshot], now: int) -> Iterator[tuple[bytes, Parts]]:
        """Pages joined to requests: protobuf's messages, one after another, are one message."""
        most_bytes = REQUEST_BYTES * self._most_points // POINTS_A_PAGE
        joined, parts = b"", Parts()
        for page, told in self._pages(families, now):
            if joined and len(joined) + len(page) > most_bytes:
                yield joined, parts
                joined, parts = b"", []
            joined += page
            parts += told
        yield joined, parts

    def _pages(self, families: list[FamilySnapshot], now: int) -> Iterator[tuple[bytes, Parts]]:
        for family in families:
            windows = self._windows[family.instrument.name]
            window = windows.next(family, now)
            message = self._messages[family.instrument.name]
            for page, part in message.pages(family, window, self._most_points):
                yield page, [(windows, window, part)]
        is_delta = self._settings.is_delta
        yield own_metrics(self._about_itself, self._resource, now, is_delta=is_delta), []

    def _remember(self, families: list[FamilySnapshot], told: set[FamilyWindows]) -> None:
        """Keep what was told of families over a restart, if deltas go on from it."""
        if self._settings.is_delta:
            named = {family.instrument.name: family for family in families}
            self._memory.write(
                {
                    _KEY + name: msgspec.msgpack.encode(windows.told(named[name]))
                    for name, windows in self._windows.items()
                    if windows in told
                }
            )

    def close(self) -> None:
        """See `Work`."""
        self._memory.close()


def _points(request: bytes) -> int:
    """How many a request tells of."""
    return sum(
        len(kind.data_points)
        for of_resource in ExportMetricsServiceRequest.FromString(request).resource_metrics
        for of_scope in of_resource.scope_metrics
        for metric in of_scope.metrics
        for kind in (metric.sum, metric.gauge, metric.histogram, metric.exponential_histogram)
    )
