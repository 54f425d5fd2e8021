"""Turns of a destination for metrics: the state of all series, at each interval.

Nothing is queued. While a destination is away the series go on in the ledger, and the first request
that it takes again tells of all that happened.
"""

import time
from collections.abc import Iterator

import msgspec
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from prometheus_client.registry import Collector

from exporter.export.otlp.memory import Memory
from exporter.export.otlp.metrics import DestinationMetrics
from exporter.export.otlp.own_metrics import own_metrics
from exporter.export.otlp.sender import Deliver, Refuse
from exporter.export.otlp.series import FamilyMessage, Window
from exporter.export.otlp.settings import MetricSettings
from exporter.export.otlp.transport import DeliveryError
from exporter.export.otlp.windows import FamilyWindows, ToldSeries
from exporter.ledger import FamilySnapshot, SeriesReader

REQUEST_BYTES = 1 << 20
"""Size of a request, about: receivers of gRPC refuse more than 4 MiB by default."""

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
        refusal: DeliveryError | None = None
        told: set[FamilyWindows] = set()
        try:
            for request, parts in self._requests(families, now):
                try:
                    deliver(request)
                except DeliveryError as error:
                    if not error.is_final:
                        raise
                    refusal = error
                else:
                    for windows, window, part in parts:
                        windows.delivered(window, part)
                        told.add(windows)
        finally:
            self._remember(families, told)
        if refusal is not None:
            raise refusal
        for family in families:
            self._windows[family.instrument.name].finished(family)
        self._metrics.wait(0, now / 1e9)
        return max(0.0, self._settings.interval_s - (time.monotonic() - began))

    def _requests(self, families: list[FamilySnapshot], now: int) -> Iterator[tuple[bytes, Parts]]:
        """Pages joined to requests: protobuf's messages, one after another, are one message."""
        joined, parts = b"", Parts()
        for family in families:
            windows = self._windows[family.instrument.name]
            window = windows.next(family, now)
            for page, part in self._messages[family.instrument.name].pages(family, window):
                if joined and len(joined) + len(page) > REQUEST_BYTES:
                    yield joined, parts
                    joined, parts = b"", []
                joined += page
                parts.append((windows, window, part))
        is_delta = self._settings.is_delta
        joined += own_metrics(self._about_itself, self._resource, now, is_delta=is_delta)
        yield joined, parts

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
