"""What each destination says about itself, while it is configured."""

import time

from prometheus_client import CollectorRegistry

from exporter.export.otlp.config import OtlpConfig
from exporter.export.otlp.metrics import OtlpMetrics
from exporter.export.otlp.settings import destination


def test_a_destination_that_ends_late_leaves_the_metrics_to_the_one_that_took_over() -> None:
    registry = CollectorRegistry()
    metrics, to = OtlpMetrics(registry), destination(OtlpConfig(), "logs", {})
    before, after = metrics.of(to), metrics.of(to)
    labels = {"destination": "default", "signal": "logs"}

    def age() -> float | None:
        name = "llm_gateway_exporter_otlp_oldest_unsent_age_seconds"
        return registry.get_sample_value(name, labels)

    after.wait(1, time.time() - 60)
    before.remove()
    assert (age() or 0) >= 60
    after.remove()
    assert age() is None
