"""What sending says about itself."""

import time

from prometheus_client import CollectorRegistry, Counter, Gauge

from exporter.export.otlp.settings import Destination
from exporter.export.otlp.transport import DeliveryError

_LABELS = ["destination", "signal"]


class OtlpMetrics:
    """Registered once; destinations come and go with the configuration.

    Attributes:
        newest: those that were made last, by destination and signal.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        self.newest: dict[tuple[str, str], DestinationMetrics] = {}
        prefix = "llm_gateway_exporter_otlp"
        self.exports = Counter(
            f"{prefix}_exports", "Requests that a destination took.", _LABELS, registry=registry
        )
        self.failures = Counter(
            f"{prefix}_failures",
            "Requests that failed, by reason: a status, or how the connection failed.",
            [*_LABELS, "reason"],
            registry=registry,
        )
        self.refused = Counter(
            f"{prefix}_refused",
            "Points or log records that a destination refused for good.",
            _LABELS,
            registry=registry,
        )
        self.queued = Gauge(
            f"{prefix}_queued",
            "Log records that are not delivered yet; metrics have no queue, the next request tells"
            " all of them.",
            _LABELS,
            registry=registry,
        )
        self.unsent_age = Gauge(
            f"{prefix}_oldest_unsent_age_seconds",
            "How long ago the oldest request began whose log record is not delivered, 0 if all are;"
            " of metrics, how long ago the state was that was delivered last.",
            _LABELS,
            registry=registry,
        )

    def of(self, destination: Destination) -> "DestinationMetrics":
        """The metrics of one destination."""
        return DestinationMetrics(self, destination.name, destination.signal)


class DestinationMetrics:
    """Metrics of one destination, which are there, at zero, from the beginning."""

    def __init__(self, metrics: OtlpMetrics, destination: str, signal: str) -> None:
        self._metrics = metrics
        self._labels = (destination, signal)
        self._unsent_since: float | None = None
        metrics.newest[self._labels] = self
        for counter in (metrics.exports, metrics.refused):
            counter.labels(*self._labels)
        metrics.queued.labels(*self._labels).set(0)
        metrics.unsent_age.labels(*self._labels).set_function(self._age_s)

    def _age_s(self) -> float:
        since = self._unsent_since
        return 0.0 if since is None else max(0.0, time.time() - since)

    def took(self) -> None:
        """A request was taken."""
        self._metrics.exports.labels(*self._labels).inc()

    def failed(self, error: DeliveryError) -> None:
        """A request was not taken."""
        self._metrics.failures.labels(*self._labels, error.reason).inc()

    def refuse(self, count: int) -> None:
        """So many points or records will not be sent again."""
        self._metrics.refused.labels(*self._labels).inc(count)

    def wait(self, queued: int, since: float | None) -> None:
        """What waits now, and since when (Unix seconds); None if nothing does."""
        self._metrics.queued.labels(*self._labels).set(queued)
        self._unsent_since = since

    def remove(self) -> None:
        """The destination is no longer configured; one that has begun anew meanwhile stays."""
        if self._metrics.newest.get(self._labels) is self:
            del self._metrics.newest[self._labels]
            self._metrics.queued.remove(*self._labels)
            self._metrics.unsent_age.remove(*self._labels)
