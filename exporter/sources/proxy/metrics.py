"""What proxies say about themselves, and the two gauges of the vocabulary."""

import time
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from prometheus_client import CollectorRegistry, Metric
from prometheus_client import Counter as CounterMetric
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from exporter.labels import USUAL_LIMIT, Guard
from exporter.vocabulary import (
    ACTIVE_REQUESTS,
    IDENTITY,
    OTHER,
    RATELIMIT_REMAINING,
    UNKNOWN,
    Instrument,
    prometheus_label,
)


class ProxyMetrics:
    """Registers the proxies' metrics; the sources' names are a label."""

    def __init__(self, registry: CollectorRegistry) -> None:
        prefix = "llm_gateway_exporter_proxy"

        def counter(name: str, text: str, *labels: str) -> CounterMetric:
            return CounterMetric(f"{prefix}_{name}", text, ["source", *labels], registry=registry)

        self.passed = counter(
            "requests_passed", "Requests that are no model request, by class of path.", "path"
        )
        self.refused = counter(
            "requests_refused", "Requests answered with 503, for too many were under way."
        )
        self.retries = counter(
            "upstream_retries", "Requests sent again, for a kept connection had ended."
        )
        self.upstream_errors = counter(
            "upstream_errors", "Requests that the upstream gave no whole answer to.", "error_type"
        )
        self.unparsed = counter(
            "bodies_unparsed",
            "Bodies and events that could not be looked into: too long, or not what they say.",
        )
        self.accounting_failures = counter(
            "accounting_failures", "Requests that went through and could not be counted."
        )
        self.records_lost = counter(
            "records_lost", "Requests that were not counted, for commits take too long."
        )
        self.connections_refused = CounterMetric(
            f"{prefix}_connections_refused",
            "Connections closed at once because too many were open.",
            registry=registry,
        )
        self.requests_failed = CounterMetric(
            f"{prefix}_requests_failed",
            "Requests that failed within the proxy; the log has the reason.",
            registry=registry,
        )
        self.gauges = Gauges()
        registry.register(self.gauges)


class Identity(NamedTuple):
    """Labels of a gauge."""

    model: str
    provider: str
    operation: str


class Remaining(NamedTuple):
    """What a provider said is left.

    Attributes:
        unit: request or token.
        said: Unix seconds.
    """

    identity: Identity
    unit: str
    left: float
    said: float


class Level:
    """A number that goes up and down."""

    def __init__(self) -> None:
        self.count = 0


class Gauges(Collector):
    """Requests under way, and what the providers say is left. They need no durability.

    A model is a label once a request for it has succeeded, as in the series of the ledger.
    """

    def __init__(self, limit: int = USUAL_LIMIT) -> None:
        self._models = Guard(limit)
        self._active: dict[tuple[str, str, str], Level] = {}
        self._remaining: dict[tuple[Identity, str], Remaining] = {}

    def active(self, model: str, provider: str, operation: str) -> Level:
        """The level of requests under way, for each to raise by one and to lower in the end."""
        level = self._active.get((model, provider, operation))
        if level is None:
            known = model if model in self._models else OTHER
            labels = known or UNKNOWN, provider or UNKNOWN, operation
            level = self._active.setdefault(labels, Level())
        return level

    def succeeded(self, model: str) -> None:
        """A request for the model has succeeded."""
        self._models.admit(model)

    def remains(self, model: str, provider: str, operation: str, unit: str, left: float) -> None:
        """The provider says how many requests or tokens are left."""
        if model in self._models:
            identity = Identity(model, provider, operation)
            self.hear([Remaining(identity, unit, left, time.time())])

    def hear(self, said: Iterable[Remaining]) -> None:
        """What providers said, to this process or to others; of two words, the later counts."""
        for one in said:
            key = one.identity, one.unit
            known = self._remaining.get(key)
            if known is None or known.said <= one.said:
                self._remaining[key] = one

    @property
    def remaining(self) -> list[Remaining]:
        """All that is known to be left."""
        return list(self._remaining.values())

    def collect(self) -> Iterable[Metric]:
        """For the exposition."""
        active = _family(ACTIVE_REQUESTS)
        for labels, level in list(self._active.items()):
            active.add_metric(labels, level.count)
        yield active
        remaining = _family(RATELIMIT_REMAINING)
        for one in self.remaining:
            remaining.add_metric([*one.identity, one.unit], one.left)
        yield remaining

    def describe(self) -> Iterator[Metric]:
        """For the registry."""
        yield _family(ACTIVE_REQUESTS)
        yield _family(RATELIMIT_REMAINING)


def _family(instrument: Instrument) -> GaugeMetricFamily:
    labels = [prometheus_label(name) for name in (*IDENTITY, *instrument.attributes)]
    return GaugeMetricFamily(instrument.prometheus_name, instrument.help, labels=labels)
