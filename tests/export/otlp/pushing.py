"""A running push of one ledger, for tests."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry

from exporter.export.otlp.config import OtlpConfig
from exporter.export.otlp.metrics import OtlpMetrics
from exporter.export.otlp.push import Push, ReadRequestLog
from exporter.ledger import Ledger
from exporter.quantities import Duration


def endpoint(url: str, **settings: Any) -> OtlpConfig:
    """An endpoint by HTTP that is told ten times a second."""
    usual: dict[str, Any] = {
        "name": "receiver",
        "endpoint": url,
        "interval": Duration("100ms"),
        "timeout": Duration("5s"),
    }
    return OtlpConfig.model_validate({**usual, **settings})


@contextmanager
def pushing(
    ledger: Ledger,
    state_dir: Path,
    *endpoints: OtlpConfig,
    environ: Mapping[str, str] | None = None,
    registry: CollectorRegistry | None = None,
    request_log: ReadRequestLog | None = None,
) -> Iterator[CollectorRegistry]:
    """Push until the end of the context; the registry of the metrics about it."""
    registry = registry or CollectorRegistry()
    push = Push(
        endpoints,
        series=ledger,
        about_itself=registry,
        request_log=request_log,
        state_dir=state_dir,
        instance_id="instance",
        metrics=OtlpMetrics(registry),
        environ=environ or {},
    )
    push.start()
    try:
        yield registry
    finally:
        push.stop()


def metric(
    registry: CollectorRegistry, name: str, signal: str = "metrics", **labels: str
) -> float | None:
    """A metric about the push to `receiver`."""
    labels = {"destination": "receiver", "signal": signal, **labels}
    return registry.get_sample_value(f"llm_gateway_exporter_otlp_{name}", labels)


def values(points: Sequence[Any]) -> list[float]:
    """Of number points."""
    return [point.as_double for point in points]
