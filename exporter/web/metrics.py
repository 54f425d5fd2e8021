"""What the web listener tells about itself."""

from prometheus_client import CollectorRegistry, Counter, Gauge


class WebMetrics:
    """Registers the listener's metrics."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.connections_refused = Counter(
            "llm_gateway_exporter_web_connections_refused",
            "Connections closed at once because too many were open.",
            registry=registry,
        )
        self.requests_unauthorized = Counter(
            "llm_gateway_exporter_web_requests_unauthorized",
            "Requests answered with 401.",
            registry=registry,
        )
        self.requests_failed = Counter(
            "llm_gateway_exporter_web_requests_failed",
            "Requests answered with 500; the log has the reason.",
            registry=registry,
        )
        self._config_valid = Gauge(
            "llm_gateway_exporter_web_config_last_reload_successful",
            "Whether the web-config file, as it stands now, is in force.",
            registry=registry,
        )

    def config_reload_succeeded(self, succeeded: bool) -> None:
        self._config_valid.set(succeeded)
