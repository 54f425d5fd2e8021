"""What the main process says about its workers."""

from prometheus_client import CollectorRegistry, Counter, Gauge


class WorkerMetrics:
    """Registered once; there are no such series while there are no workers."""

    def __init__(self, registry: CollectorRegistry) -> None:
        prefix = "llm_gateway_exporter_worker"
        self.up = Gauge(f"{prefix}_up", "Whether a worker runs.", ["worker"], registry=registry)
        self.restarts = Counter(
            f"{prefix}_restarts",
            "Times that a worker ended by itself and was started again.",
            ["worker"],
            registry=registry,
        )
